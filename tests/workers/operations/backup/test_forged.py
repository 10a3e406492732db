"""What somebody can do who may only write into the backups' bucket: each thing is refused by all that read a set."""

import tracemalloc
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import boto3
import pytest
import yaml

from tests.series import slow
from tests.workers.operations.backup import forging
from tests.workers.operations.backup.artifacts.conftest import store  # noqa: F401 - a fixture
from workers import settings
from workers.errors import AlreadySo, OperatorError
from workers.operation import Unwatched
from workers.operations.backup import configuration, sets, verify
from workers.operations.backup.artifacts import listing
from workers.operations.backup.artifacts import verify as verify_artifacts
from workers.operations.backup.encryption import Keys
from workers.operations.backup.sealing import NotSealed
from workers.operations.backup.show import BackupList, BackupShow
from workers.operations.backup.sign import BackupSign
from workers.operations.backup.signing import Trust
from workers.operations.backup.stream import Reading
from workers.operations.backup.verify import BackupVerify, BackupVerifyDeep
from workers.operations.health import backup as health
from workers.operations.restore.all import RestoreAll
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.operations.restore.cluster_objects import Applied
from workers.operations.restore.configuration import RestoreConfiguration
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill import Drill
from workers.operations.restore.recover import Recover
from workers.report import Status
from workers.systems import Systems
from workers.systems.errors import ObjectChanged
from workers.systems.s3.transfer import Transfer

FORGERIES = [
    pytest.param(each, id=each.__name__, marks=() if number < 2 else pytest.mark.slow)
    for number, each in enumerate(forging.REFUSED)
]


@dataclass
class Place:
    s3: Any
    systems: Systems
    artifacts: str
    backups: str
    keys: Keys
    load: Any


@pytest.fixture
def place(store, tmp_path, monkeypatch):  # noqa: F811 - the fixture
    """A store with artifacts and no database: whoever gets as far as to ask for that one fails at 127.0.0.1:1."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ours")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3", endpoint_url=store, region_name="us-east-1")
    name = tmp_path.name.replace("_", "-").lower()[:40]
    pair = f"a-{name}", f"b-{name}"
    for bucket in pair:
        client.create_bucket(Bucket=bucket)
    for n in range(3):
        client.put_object(Bucket=pair[0], Key=f"1/run{n}/artifacts/model.pkl", Body=f"model {n}".encode())
    # On a machine that is busy with other tests a call may take longer than a health check waits.
    ops = {"health": {"deadline_seconds": 30}, "storage": {"artifacts_bucket": pair[0], "backups_bucket": pair[1]}}
    path = tmp_path / "ops.yaml"
    path.write_text(yaml.safe_dump(ops), encoding="utf-8")

    def load(**environ):
        wanted = {
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "AWS_ENDPOINT_URL_S3": store,
            "MLFLOW_OPS_CONFIG": str(path),
            "MLFLOW_OPS_DATABASE_URL": "postgresql://m:m@127.0.0.1:1/m",
            "MLFLOW_OPS_DATABASE_ADMIN_URL": "postgresql://m:m@127.0.0.1:1/postgres",
            "MLFLOW_OPS_BACKUP_KEY": forging.KEY,
        } | environ
        return Systems(settings.load({name: value for name, value in wanted.items() if value}))

    systems = load()
    yield Place(client, systems, *pair, Keys.of(systems.settings), load)
    for bucket in pair:
        for item in client.list_objects_v2(Bucket=bucket).get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=item["Key"])


@pytest.fixture
def two(place):
    """Two genuine sets, the older and the newer."""
    moment, same = forging.now(), {"keys": place.keys, "progress": Unwatched()}
    older = forging.made(place, moment - timedelta(hours=2), **same)
    place.s3.put_object(Bucket=place.artifacts, Key="1/new/artifacts/model.pkl", Body=b"new")
    return older, forging.made(place, moment - timedelta(minutes=5), dump=forging.DUMP * 2, **same)


def ask(systems, operation):
    """Plan and run: both must refuse by themselves, for a set may change between the two."""
    words = []
    for step in (lambda: operation.plan(systems), lambda: operation.run(systems, Unwatched())):
        with pytest.raises(OperatorError) as refused:
            step()
        words.append(refused.value.message)
    return words


def readers(which):
    return [
        RestoreDatabase(set=which),
        RestoreDatabase(set=which, beside="looked_at"),
        RestoreDatabase(set=which, auth=True),
        RestoreArtifacts(set=which),
        RestoreConfiguration(set=which),
        RestoreAll(set=which),
        Recover(set=which),
        Drill(set=which),
        BackupVerifyDeep(id=which),
    ]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_manifest_is_refused_in_plan_and_run_by_all_that_read_a_set(forgery, place, two):
    older, newer = two
    forgery(place, older, newer)
    words = forging.REFUSED[forgery]
    for operation in readers(newer.id):
        for said in ask(place.systems, operation):
            assert words in said, operation.name
    for operation in (BackupVerify(id=newer.id), BackupShow(id=newer.id)):
        with pytest.raises(OperatorError, match=words):
            operation.run(place.systems, Unwatched())


@pytest.mark.parametrize("forgery", FORGERIES)
def test_latest_is_the_newest_that_is_ours_and_list_and_health_say_why(forgery, place, two):
    older, newer = two
    forgery(place, older, newer)
    assert sets.good(place.systems, "latest").id == older.id
    listed = BackupList().run(place.systems, Unwatched())
    assert "1 good set" in listed.summary
    objects, trust = place.systems.backups, Trust.of(place.systems.settings)
    found = health.newest(objects, place.backups, forging.now(), trust)
    assert found.name == older.name
    assert newer.name in found.passed_over[0]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "change"), forging.DAMAGED, ids=lambda each: getattr(each, "__name__", each))
def test_other_bytes_than_those_that_were_signed_are_found_before_any_is_used(file, change, place, two):
    newer = two[1]
    key = f"{newer.name}{file}"
    body = place.s3.get_object(Bucket=place.backups, Key=key)["Body"].read()
    place.s3.put_object(Bucket=place.backups, Key=key, Body=change(body))
    report = BackupVerify(id=newer.id).run(place.systems, Unwatched())
    assert report.status is Status.FAIL
    assert f"{file} is damaged" in report.sections[0].text
    if file == "artifacts.jsonl.zst.enc":
        assert "is not the one that its manifest names" in ask(place.systems, RestoreArtifacts(set=newer.id))[0]
    if file == "config.yaml.enc":
        assert "its bytes are not those that were written" in ask(place.systems, RestoreConfiguration(set=newer.id))[0]


def as_they_are(body, _older):
    return body


def of_the_older_set(_body, older):
    return older


def without_their_end(body, _older):
    return body[:-17]


def in_the_clear(_body, _older):
    return forging.DUMP


@pytest.mark.slow
@pytest.mark.parametrize("change", [as_they_are, of_the_older_set, without_their_end, in_the_clear])
@pytest.mark.parametrize(
    "file", ["database.dump.enc", "database.catalog.jsonl.enc", "artifacts.jsonl.zst.enc", "config.yaml.enc"]
)
def test_encrypted_parts_are_refused_also_where_a_manifest_knows_the_other_bytes(file, change, place, two, monkeypatch):
    """What --unsigned lets in: nobody without the key can put a byte of his own into a part."""
    monkeypatch.setattr("workers.systems.postgres.programs.Running.wait", lambda *_: 0)
    older, newer = two
    bodies = [
        place.s3.get_object(Bucket=place.backups, Key=f"{each.name}{file}")["Body"].read() for each in (newer, older)
    ]
    told = forging.document(place, newer)
    new = forging.stored(place, newer.name, file, change(*bodies)).model_dump()
    part = next(each for each in told.values() if isinstance(each, dict) and file in str(each))
    name = next(name for name, each in part.items() if file in str(each))
    part[name] = new
    told["signature"] = None
    forging.written(place, newer, told)
    found = sets.good(place.systems, newer.id, unsigned=True)
    with Transfer.of(place.systems.backups, 2) as transfer:
        problems = verify.problems(place.systems, found, transfer, Unwatched(), deep=False)
    named = [each for each in problems if f"{newer.name}{file}" in each]
    assert bool(named) is (change is not as_they_are), problems


@pytest.mark.parametrize("change", ["exchanged", *slow("older", "cut", "plain", "emptied")])
def test_an_artifacts_bytes_are_refused_unless_they_are_its_own(change, place, two):
    newer = two[1]
    listed = place.s3.list_objects_v2(Bucket=place.backups, Prefix="objects/")["Contents"]
    body = {each["Key"]: place.s3.get_object(Bucket=place.backups, Key=each["Key"])["Body"].read() for each in listed}
    ours, another = ([key for key in body if run in key] for run in ("run1", "run2"))
    for key, other in zip(ours, reversed(ours), strict=True):
        content = {
            "exchanged": body[another[0]],
            "older": body[other],
            "cut": body[key][:-1],
            "plain": b"model 1",
            "emptied": b"",
        }
        place.s3.put_object(Bucket=place.backups, Key=key, Body=content[change])
    place.s3.delete_object(Bucket=place.artifacts, Key="1/run1/artifacts/model.pkl")
    found = verify_artifacts(
        place.systems.backups,
        place.backups,
        newer.name,
        deep=True,
        progress=Unwatched(),
        sha256=newer.artifacts.listing.sha256,
        keys=place.keys,
    )
    assert len(found.problems) == 1
    assert "run1" in found.problems[0]
    report = RestoreArtifacts(set=newer.id).run(place.systems, Unwatched())
    assert report.status is Status.FAIL
    assert "its bytes in the backup are not those that were kept" in report.sections[0].text
    assert "Contents" not in place.s3.list_objects_v2(Bucket=place.artifacts, Prefix="1/run1/")


def test_nothing_of_a_set_is_in_the_clear(place, two):
    for item in place.s3.list_objects_v2(Bucket=place.backups)["Contents"]:
        found = place.s3.get_object(Bucket=place.backups, Key=item["Key"])
        body = found["Body"].read()
        assert found["Metadata"] == {}
        if not item["Key"].endswith("manifest.json"):
            assert body.startswith(b"mlflow-ops-encrypted 1 ")
            assert b"PGDMP" not in body
            assert b"model" not in body.partition(b"\n")[2]


def test_artifacts_come_back_from_an_encrypted_set_as_they_were(place, two):
    key = "1/run1/artifacts/model.pkl"
    before = place.s3.get_object(Bucket=place.artifacts, Key="1/new/artifacts/model.pkl")["Body"].read()
    for each in (key, "1/new/artifacts/model.pkl"):
        place.s3.delete_object(Bucket=place.artifacts, Key=each)
    report = RestoreArtifacts(set=two[1].id).run(place.systems, Unwatched())
    assert report.status is Status.OK
    assert place.s3.get_object(Bucket=place.artifacts, Key=key)["Body"].read() == b"model 1"
    assert place.s3.get_object(Bucket=place.artifacts, Key="1/new/artifacts/model.pkl")["Body"].read() == before


def test_genuine_sets_are_read_also_with_a_key_that_was_replaced(place, two):
    newer = two[1]
    assert sets.good(place.systems, "latest").id == newer.id
    rotated = place.load(MLFLOW_OPS_BACKUP_KEY=forging.OTHER_KEY, MLFLOW_OPS_BACKUP_KEYS_OLD=forging.KEY)
    assert sets.good(rotated, "latest").id == newer.id
    with pytest.raises(AlreadySo):
        RestoreArtifacts().plan(rotated)
    lost = place.load(MLFLOW_OPS_BACKUP_KEY=forging.OTHER_KEY)
    with pytest.raises(OperatorError, match="is signed with the key"):
        sets.good(lost, "latest")


def test_another_target_is_read_if_that_is_meant(place, two):
    forging.another_target(place, *two)
    assert sets.good(place.systems, "latest", from_elsewhere=True).id == two[1].id


def test_without_a_key_nothing_is_signed_and_everything_is_read(place):
    plain = place.load(MLFLOW_OPS_BACKUP_KEY="")
    found = forging.made(place, forging.now(), keys=None, progress=Unwatched())
    assert found.signature is None
    assert sets.good(plain, "latest").id == found.id
    newest = health.newest(plain.backups, place.backups, forging.now(), Trust.of(plain.settings))
    assert "NOT SIGNED" in health.judge(newest, plain.settings, forging.now()).sentence


def test_what_is_not_signed_is_read_with_unsigned_and_what_was_changed_is_not(place, two):
    forging.no_signature(place, *two)
    assert sets.good(place.systems, two[1].id, unsigned=True).id == two[1].id
    forging.another_key_named_as_ours(place, *two)
    with pytest.raises(OperatorError, match="was changed since it was signed"):
        sets.good(place.systems, two[1].id, unsigned=True)
    with pytest.raises(OperatorError, match="must be named"):
        sets.good(place.systems, "latest", unsigned=True)


def test_after_a_key_was_lost_an_unproven_set_is_named_used_once_and_never_signed(place, two):
    """The backup key is gone, the bucket is not: what an admin may do, and what he is told that nobody knows."""
    lost = place.load(MLFLOW_OPS_BACKUP_KEY=forging.OTHER_KEY)
    newer = two[1]
    for operation in readers(newer.id):
        for said in ask(lost, operation):
            assert "is signed with the key" in said
    with pytest.raises(OperatorError) as refused:
        sets.good(lost, newer.id)
    assert "--unsigned --break-glass" in refused.value.hint
    found = sets.good(lost, newer.id, unsigned=True)
    said = sets.cautions(lost, newer.id, found)
    assert said[0].startswith(
        f"NOT PROVEN: the backup {newer.id} is signed with the key {place.keys.current_id}, which"
    )
    (rest,) = said[1:]
    assert rest.startswith("Can't be read without the key that is missing: database.dump.enc, database.catalog.jsonl.")
    assert rest.endswith("auth-database.dump.enc, artifacts.jsonl.zst.enc, config.yaml.enc.")
    with pytest.raises(OperatorError, match="is signed with the key"):
        BackupSign(id=newer.id).plan(lost)
    with pytest.raises(OperatorError, match="is signed with the key"):
        sets.good(lost, "latest")


def test_what_is_not_encrypted_comes_back_from_a_set_whose_key_was_lost(place):
    """backup.encrypt: none, or config: the bytes are there, and all that nobody knows is said in the plan."""
    made = forging.made(place, forging.now(), keys=None, progress=Unwatched())
    forging.written(place, made, forging.json.loads(forging.signed(made, place.keys).text()))
    lost = place.load(MLFLOW_OPS_BACKUP_KEY=forging.OTHER_KEY)
    place.s3.delete_object(Bucket=place.artifacts, Key="1/run1/artifacts/model.pkl")
    with pytest.raises(OperatorError, match="is signed with the key"):
        RestoreArtifacts(set=made.id).plan(lost)
    restore = RestoreArtifacts(set=made.id, unsigned=True)
    warnings = " ".join(restore.plan(lost).warnings)
    assert "NOT PROVEN" in warnings
    assert "Not known either: whether database.dump, database.catalog.jsonl, auth-database.dump, artifacts." in warnings
    assert restore.run(lost, Unwatched()).status is Status.OK
    assert place.s3.get_object(Bucket=place.artifacts, Key="1/run1/artifacts/model.pkl")["Body"].read() == b"model 1"


def test_sign_reads_every_byte_first(place, monkeypatch):
    monkeypatch.setattr("workers.operations.backup.database.read_dump", lambda *_: 7)
    found = forging.made(place, forging.now(), keys=place.keys, progress=Unwatched(), sign=False)
    kept = place.s3.list_objects_v2(Bucket=place.backups, Prefix="objects/")["Contents"][0]["Key"]
    body = place.s3.get_object(Bucket=place.backups, Key=kept)["Body"].read()
    sign = BackupSign(id=found.id)
    plan = sign.plan(place.systems)
    assert "Nothing proves that we made" in plan.warnings[0]
    assert sign.gated(place.systems.settings.ops)
    place.s3.put_object(Bucket=place.backups, Key=kept, Body=b"x" * len(body))
    report = sign.run(place.systems, Unwatched())
    assert report.status is Status.FAIL
    assert "was not signed, 1 problem found" in report.summary
    place.s3.put_object(Bucket=place.backups, Key=kept, Body=body)
    assert sign.run(place.systems, Unwatched()).status is Status.OK
    assert sets.good(place.systems, "latest").id == found.id
    with pytest.raises(AlreadySo):
        sign.plan(place.systems)
    forging.a_statement_in_the_dump(place, found, found)
    with pytest.raises(OperatorError, match="changed since it was signed"):
        sign.plan(place.systems)


@pytest.mark.parametrize("text", [forging.yaml_bomb(b""), *slow(b"[" * 500_000, b"a: {" * 500_000, b"- x\n- y\n")])
def test_a_yaml_bomb_in_a_set_that_nobody_signs_is_refused(text, place):
    plain = place.load(MLFLOW_OPS_BACKUP_KEY="")
    found = forging.made(place, forging.now(), keys=None, progress=Unwatched())
    told = forging.document(place, found)
    forging.replaced(place, found, told, "configuration", "config.yaml", text)
    forging.written(place, found, told)
    with Transfer.of(plain.backups, 1) as transfer, pytest.raises(OperatorError, match=r"no YAML|not hold objects"):
        configuration.read(sets.good(plain, "latest").configuration, None, transfer, place.backups)


def test_a_listing_that_is_a_bomb_is_refused_within_a_frame_of_memory():
    body = forging.bomb(b"")
    tracemalloc.start()
    with pytest.raises(OperatorError, match="does not decompress to what we write"):
        next(listing.lines("bomb", iter([body])))
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_what_stands_in_two_places_is_written_twice():
    shared = {"app": "mlflow"}
    item = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "m", "labels": shared}, "spec": shared}
    assert b"*id" not in configuration.Export([item]).text()


def test_an_artifact_that_changes_after_approval_stops_the_restore_and_is_named(place, two):
    place.s3.put_object(Bucket=place.artifacts, Key="1/run0/artifacts/model.pkl", Body=b"another")
    restore = RestoreArtifacts()
    planned = restore.plan(place.systems)
    assert planned.difference(restore.plan(place.systems)) == ""
    place.s3.put_object(Bucket=place.artifacts, Key="1/run1/artifacts/model.pkl", Body=b"nobody has approved this")
    assert "artifact 1/run1/artifacts/model.pkl was None, now" in planned.difference(restore.plan(place.systems))


def test_beyond_those_that_are_named_a_digest_tells(place, two):
    for number in range(3):
        place.s3.put_object(Bucket=place.artifacts, Key=f"1/run{number}/artifacts/model.pkl", Body=b"another")
    for number in range(30):
        place.s3.put_object(Bucket=place.artifacts, Key=f"0/{number:02}", Body=b"0")
    forging.made(place, forging.now(), keys=place.keys, progress=Unwatched())
    for number in range(30):
        place.s3.delete_object(Bucket=place.artifacts, Key=f"0/{number:02}")
    planned = RestoreArtifacts().plan(place.systems)
    place.s3.put_object(Bucket=place.artifacts, Key="1/run2/artifacts/model.pkl", Body=b"nobody has approved this")
    said = planned.difference(RestoreArtifacts().plan(place.systems))
    assert "all artifacts that would be written was" in said


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_what_differs_beyond_the_80th_character_is_another_content(kind):
    def content(value, name="a"):
        item = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "m"}, "data": {name: value}}
        return Applied(item, None, item).content

    assert content("x" * 80, "a") != content("x" * 80, "b")
    # What a Secret holds is in the document, whose checksum the plan rests on; a hash of it would betray it.
    assert (content("x" * 90 + "y") == content("x" * 90 + "z")) is (kind == "Secret")


def test_a_dump_that_is_streamed_is_proven_first_and_another_is_not_read_after_that(place, two):
    newer = two[1]
    dump = newer.database.dump
    with Transfer.of(place.systems.backups, 1) as transfer:
        reading = Reading(dump, transfer, place.backups, None, place.keys)
        reading.prove()
        place.s3.put_object(Bucket=place.backups, Key=dump.key, Body=forging.DUMP + b"DROP DATABASE mlflow;")
        with pytest.raises(ObjectChanged):
            list(reading)
        with pytest.raises(OperatorError, match="its bytes are not those that were written"):
            Reading(dump, transfer, place.backups).prove()
        with pytest.raises(NotSealed):
            Reading(dump, transfer, place.backups, None, place.keys).prove()
