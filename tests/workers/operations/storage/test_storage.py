"""What the artifacts take, on a real store with versions, and against MLflow's real database."""

import base64
import itertools
import json
import time
import uuid

import boto3
import psycopg
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from commands import grammar
from workers import settings
from workers.engine import performing
from workers.operation import Cancelled, Unwatched
from workers.operations.storage import cache
from workers.operations.storage.locations import owner
from workers.operations.storage.measuring import Measuring
from workers.report import Status
from workers.systems import Systems
from workers.systems.errors import BucketMissing
from workers.systems.s3.listing import AT_ONCE, Lister, Page, between
from workers.systems.s3.transfer import Transfer

PIECES = ("slack", "bot", "scheduler", "worker-quick", "worker-ops", "kubernetes")
BUCKET = "mlflow-artifacts"


SILENT = Unwatched()


@pytest.fixture(scope="module")
def sandbox(start_sandbox_once, tmp_path_factory, seeded):
    path = tmp_path_factory.mktemp("storage") / "data"
    return start_sandbox_once(path, *(word for part in PIECES for word in ("--without", part)), like=seeded)


@pytest.fixture(scope="module")
def systems(sandbox):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sandbox.env.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        yield Systems(settings.load(sandbox.process_env))


@pytest.fixture
def do(systems):
    systems.redis.delete(cache._LAST, cache._HISTORY)
    return lambda words, progress=SILENT: performing.perform_here(
        grammar.parse(words), words, "olga", systems, progress
    )


@pytest.fixture(scope="module")
def s3(systems):
    return boto3.client(
        "s3", endpoint_url=systems.objects.endpoint, config=Config(request_checksum_calculation="when_required")
    )


@pytest.fixture
def bucket(s3):
    """Makes buckets that hold these keys."""
    made = []

    def make(keys, *, versions=False):
        name = f"tests-{uuid.uuid4().hex[:12]}"
        s3.create_bucket(Bucket=name)
        made.append(name)
        if versions:
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        for key in keys:
            s3.put_object(Bucket=name, Key=key, Body=b"x" * 3)
        return name

    return make


def cells(report, title):
    (found,) = [each for each in report.sections if each.title.startswith(title)]
    return found.rows


def facts(report):
    return dict(report.sections[0].items)


def listed(systems, bucket, **how):
    with Transfer.of(systems.objects, AT_ONCE) as transfer:
        return list(Lister(transfer, bucket, **how).pages())


@pytest.mark.slow
def test_every_object_is_listed_once_however_the_keys_are_cut(systems, bucket):
    strange = ["a b", "a+b", "a%2Fb", "ünïcode/€/😀", "<&>\"'", "tail/"]
    keys = sorted({*(f"{n % 3}/{uuid.uuid4().hex}/artifacts/f" for n in range(1300)), *strange})
    pages = listed(systems, bucket(keys))
    found = [key for page in pages for key, _ in page.current]
    assert sorted(found) == sorted(keys)
    assert all(size == 3 for page in pages for _, size in page.current)
    assert all([key for key, _ in page.current] == sorted(key for key, _ in page.current) for page in pages)


@pytest.mark.slow
def test_versions_and_marks_are_counted_beside_what_is_current(systems, bucket, s3):
    name = bucket([f"0/{n:032x}/artifacts/f" for n in range(800)], versions=True)
    for n in range(0, 800, 2):
        s3.put_object(Bucket=name, Key=f"0/{n:032x}/artifacts/f", Body=b"newer")
    for n in range(30):
        s3.delete_object(Bucket=name, Key=f"0/{n:032x}/artifacts/f")
    pages = listed(systems, name, versions=True)
    current = [item for page in pages for item in page.current]
    assert len(current) == len({key for key, _ in current}) == 770
    assert sum(size for _, size in current) == 385 * 5 + 385 * 3
    assert sum(page.markers for page in pages) == 30
    assert sum(page.old for page in pages) == 400 + 30
    assert sum(page.old_bytes for page in pages) == 400 * 3 + 15 * 5 + 15 * 3


@pytest.mark.slow
def test_who_stops_early_ends_the_threads(systems, bucket):
    name = bucket([f"{uuid.uuid4().hex}/f" for _ in range(1100)])
    with Transfer.of(systems.objects, AT_ONCE) as transfer:
        pages = Lister(transfer, name).pages()
        assert next(pages).current
        began = time.monotonic()
        pages.close()
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_told(systems):
    with pytest.raises(BucketMissing):
        listed(systems, "nosuch-bucket")


KEYS = st.text(alphabet="/0123456789abcdef-~z", min_size=1, max_size=12)


@given(st.tuples(KEYS, KEYS).filter(lambda pair: pair[0] < pair[1]))
def test_a_guess_lies_between(pair):
    after, until = pair
    for guess in (between(after, until), between(after, "")):
        assert not guess or guess > after
    assert not between(after, until) or between(after, until) < until


@pytest.mark.parametrize(
    ("key", "kind", "experiment"),
    [
        (f"3/{'a' * 32}/artifacts/model/MLmodel", "run", "3"),
        (f"team/mlflow/3/{'a' * 32}/artifacts/x", "run", "3"),
        (f"3/models/m-{'a' * 32}/artifacts/MLmodel", "model", "3"),
        (f"3/traces/tr-{'a' * 32}/artifacts/traces.json", "trace", "3"),
    ],
)
def test_owners_are_read_from_keys(key, kind, experiment):
    found = owner(key)
    assert (found.kind, found.experiment) == (kind, experiment)
    assert found.id.endswith("a" * 32)
    assert key.startswith(found.folder)


@pytest.mark.parametrize("key", ["", "x", f"{'a' * 32}/x", "3/notarun/x", f"3/{'a' * 32}", "a/b/c/d"])
def test_what_mlflow_has_not_put_there_has_no_owner(key):
    assert owner(key) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 4), st.integers(0, 100))), st.randoms())
def test_the_sums_are_right_in_whatever_order_pages_come(rows, random):
    keys = {f"{e}/{r:032x}/artifacts/{f}": size for e, r, f, size in rows} | {f"loose-{n}": n for n in range(3)}
    ordered = sorted(keys.items())
    pages = [Page(ordered[at : at + 3]) for at in range(0, len(ordered), 3)]
    random.shuffle(pages)
    measuring = Measuring(lambda owners: {each.id for each in owners if not each.id.endswith("0")})
    for page in pages:
        measuring.take(page)
    found = measuring.end()
    assert (found.total.objects, found.total.bytes) == (len(keys), sum(keys.values()))
    assert sum(each.bytes for each in found.experiments.values()) == found.total.bytes
    assert sum(each.objects for each in found.prefixes.values()) == found.total.objects
    unknown = {key.split("/")[1] for key in keys if "/" in key and key.split("/")[1].endswith("0")}
    assert set(found.orphans) == unknown
    assert sum(each.bytes for each in found.orphans.values()) == sum(
        size for key, size in keys.items() if any(each in key for each in unknown)
    )


def test_what_is_kept_does_not_grow_with_the_runs():
    known = []
    measuring = Measuring(lambda owners: known.append(len(owners)) or {each.id for each in owners})
    runs = (
        itertools.batched((f"1/{n:032x}/artifacts/f" for n in range(50_000)), 1000)
        if hasattr(itertools, "batched")
        else ([f"1/{n:032x}/artifacts/f" for n in range(at, at + 1000)] for at in range(0, 50_000, 1000))
    )
    for keys in runs:
        measuring.take(Page([(key, 1) for key in keys]))
    found = measuring.end()
    assert (found.total.objects, sum(known)) == (50_000, 50_000)
    assert max(known) <= 1000
    assert len(measuring._looked_up) <= 6000
    assert not found.orphans


@pytest.mark.slow
def test_storage_counts_and_names_experiments(do, systems):
    report = do("storage")
    assert report.status is Status.OK
    assert facts(report)["growth"].startswith("not known yet")
    assert any(row[0] == "load-forecast-eu" for row in cells(report, "By experiment"))
    shown = sum(row[3].value for row in cells(report, "By experiment"))
    assert report.summary.startswith(f"{shown:,} artifacts, ")
    assert cells(do("storage --by prefix --top 2"), "By prefix")[0][0].endswith("/")
    (picture,) = report.attachments
    assert base64.b64decode(picture.content).startswith(b"\x89PNG")
    largest, number, total, *_ = cells(report, "By experiment")[0]
    assert picture.alt.startswith(f"Artifact storage. By experiment: {largest} ({number}) {total}, ")


@pytest.mark.slow
def test_it_is_listed_once_an_hour_unless_asked_afresh(do, s3):
    first = do("storage")
    key = f"0/{uuid.uuid4().hex}/artifacts/x"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * 2048)
    try:
        again = do("storage")
        assert again.summary.endswith(f" ago: {first.summary}")
        assert facts(again)["listed"].split(",")[0] == facts(first)["listed"].split(",")[0]
        assert do("storage --fresh").summary != first.summary
    finally:
        s3.delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.slow
def test_orphans_old_versions_and_unfinished_uploads_are_told(do, s3):
    run = uuid.uuid4().hex
    for n in range(3):
        s3.put_object(Bucket=BUCKET, Key=f"2/{run}/artifacts/{n}", Body=b"x" * 1024)
    s3.put_object(Bucket=BUCKET, Key=f"2/{run}/artifacts/0", Body=b"y" * 1024)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=f"2/{run}/artifacts/big")["UploadId"]
    try:
        report = do("storage --fresh")
        assert report.status is Status.WARN
        row = next(row for row in cells(report, "MLflow no longer knows") if row[0] == run)
        assert row[1:] == ("run", "power-price-day-ahead", "3", "3.0 KiB")
        assert facts(report)["unfinished uploads"].startswith("1, the oldest since")
        assert "versioning is Enabled" in facts(report)["old versions"]
        assert not facts(report)["old versions"].startswith("0 B")
    finally:
        s3.abort_multipart_upload(Bucket=BUCKET, Key=f"2/{run}/artifacts/big", UploadId=upload)
        for n in range(3):
            s3.delete_object(Bucket=BUCKET, Key=f"2/{run}/artifacts/{n}")


@pytest.mark.slow
def test_a_model_whose_artifacts_are_gone_is_told(do, sandbox):
    model = f"m-{uuid.uuid4().hex}"
    values = (model, 2, "forecast", f"mlflow-artifacts:/2/models/{model}/artifacts")
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, "
            "last_updated_timestamp_ms, status, lifecycle_stage) VALUES (%s, %s, %s, %s, 0, 0, 2, 'active')",
            values,
        )
        try:
            report = do("storage --fresh")
        finally:
            connection.execute("DELETE FROM logged_models WHERE model_id = %s", (model,))
    assert report.status is Status.WARN
    row = next(row for row in cells(report, "Artifacts are gone") if row[0] == model)
    assert row[1:] == ("model", "power-price-day-ahead", "forecast")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("days", "said"),
    [((10, 8, 3), "since {8}"), ((3, 2), "since {3} UTC (no listing is a week old"), ((), "not known")],
)
def test_growth_is_since_a_week_ago_or_says_since_when(do, systems, days, said):
    now = time.time()
    for each in days:
        point = cache.Point(
            bucket=BUCKET, at=now - each * 86_400 - 60, objects=1, bytes=10, experiments={}, prefixes={}
        )
        systems.redis.hset(cache._HISTORY, str(int(point.at // 86_400)), point.model_dump_json())
    other = cache.Point(bucket="other", at=now - 9 * 86_400, objects=1, bytes=10, experiments={}, prefixes={})
    systems.redis.hset(cache._HISTORY, "1", other.model_dump_json())
    growth = facts(do("storage"))["growth"]
    shown = {
        str(each): time.strftime("%Y-%m-%d %H:%M", time.gmtime(now - each * 86_400 - 60)) for each in (2, 3, 8, 10)
    }
    for name, moment in shown.items():
        said = said.replace(f"{{{name}}}", moment)
    assert said in growth
    drawn = do("storage").attachments[0].alt
    assert ("All artifacts: between 10 B and " in drawn) is bool(days)


@pytest.mark.slow
def test_damaged_records_are_taken_for_none(do, systems):
    systems.redis.set(cache._LAST, "not json")
    systems.redis.hset(cache._HISTORY, "3", json.dumps({"bytes": "x"}))
    assert do("storage").status is Status.OK


@pytest.mark.slow
def test_without_the_database_sizes_are_told_all_the_same(sandbox, free_port, systems):
    url = f"postgresql://mlflow:hunter2secret@127.0.0.1:{free_port}/mlflow"
    alone = Systems(settings.load({**sandbox.process_env, "MLFLOW_OPS_DATABASE_URL": url}))
    report = performing.perform_here(grammar.parse("storage --fresh"), "storage", "olga", alone, SILENT)
    assert report.status is Status.WARN
    assert "refuses connections" in next(each.text for each in report.sections if each.title == "Not looked at")
    assert "hunter2" not in report.model_dump_json()


@pytest.mark.slow
def test_somebody_may_stop_it(do):
    class Stops(Unwatched):
        def checkpoint(self):
            raise Cancelled

    with pytest.raises(Cancelled):
        do("storage --fresh", Stops())


@pytest.mark.parametrize("address", ["", "redis://127.0.0.1:1/0"], ids=["not configured", "away"])
@pytest.mark.parametrize("words", ["storage", "backup list", "timeline"])
def test_without_redis_a_terminal_says_what_can_be_said(systems, sandbox, address, words):
    bare = Systems(settings.load({**sandbox.process_env, "REDIS_URL": address}))
    report = performing.perform_here(grammar.parse(words), words, None, bare, SILENT)
    assert report.status is not Status.FAIL
    assert ("Our own commands are not in it: R" in report.summary) == (words == "timeline")
