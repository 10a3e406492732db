"""Artifacts as they were at a moment, by the versions that the bucket keeps."""

import time
from datetime import UTC, datetime, timedelta
from html import escape
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.operations.restore.test_artifacts import content
from workers.errors import AlreadySo, OperatorError
from workers.operations.restore import artifacts_at
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.report import Status
from workers.systems.errors import ObjectMissing
from workers.systems.s3 import versions
from workers.systems.s3.requests import Answer
from workers.systems.s3.versions import Version


@pytest.fixture
def bucket(s3, buckets):
    s3.put_bucket_versioning(Bucket=buckets[0], VersioningConfiguration={"Status": "Enabled"})
    return buckets[0]


def put(s3, bucket, key, body, **more):
    s3.put_object(Bucket=bucket, Key=key, Body=body, **more)


def moment():
    """A second that nothing else happens in: the store tells its times to a second, and deletions after versions."""
    time.sleep(1.1)
    now = datetime.now(UTC).replace(microsecond=0)
    time.sleep(1.1)
    return now


@pytest.fixture
def then(s3, bucket):
    """What there was, when, and afterwards: each way in which an artifact can change."""
    put(s3, bucket, "1/a/artifacts/deleted.txt", b"deleted", ContentType="text/plain", Metadata={"n": "1"})
    put(s3, bucket, "1/a/artifacts/overwritten.txt", b"overwritten")
    put(s3, bucket, "1/a/artifacts/ ü+%20.txt", b"deleted, too")
    put(s3, bucket, "1/b/artifacts/same.txt", b"same")
    put(s3, bucket, "1/b/artifacts/twice.txt", b"first")
    put(s3, bucket, "1/b/artifacts/twice.txt", b"second")
    put(s3, bucket, "2/c/artifacts/gone before.txt", b"gone")
    moment()
    s3.delete_object(Bucket=bucket, Key="2/c/artifacts/gone before.txt")
    was, at = content(s3, bucket), moment()
    s3.delete_object(Bucket=bucket, Key="1/a/artifacts/deleted.txt")
    s3.delete_object(Bucket=bucket, Key="1/a/artifacts/ ü+%20.txt")
    put(s3, bucket, "1/a/artifacts/overwritten.txt", b"something else")
    put(s3, bucket, "1/b/artifacts/same.txt", b"same")
    put(s3, bucket, "1/b/artifacts/twice.txt", b"third")
    time.sleep(1.1)
    s3.delete_object(Bucket=bucket, Key="1/b/artifacts/twice.txt")
    put(s3, bucket, "2/c/artifacts/gone before.txt", b"there again")
    put(s3, bucket, "2/d/artifacts/new.txt", b"new")
    return was, at


def test_what_was_there_comes_back_and_what_is_new_stays(systems, s3, bucket, then, progress):
    was, at = then
    made = systems()
    plan = RestoreArtifacts(at=at).plan(made)
    assert plan.summary.startswith("4 artifacts (")
    assert {change.before for change in plan.changes} == {"missing", "another"}
    assert "2 artifacts made since then stay." in plan.warnings
    report = RestoreArtifacts(at=at).run(made, progress)
    assert report.status is Status.OK
    assert "4 artifacts" in report.summary
    assert "1 were right, 2 made since stay" in report.summary
    new = {"2/c/artifacts/gone before.txt": b"there again", "2/d/artifacts/new.txt": b"new"}
    assert content(s3, bucket) == was | new
    head = s3.head_object(Bucket=bucket, Key="1/a/artifacts/deleted.txt")
    assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"n": "1"})
    with pytest.raises(AlreadySo, match=r"All \d+ artifacts of .* are as they were"):
        RestoreArtifacts(at=at).plan(made)


@pytest.mark.slow
def test_exactly_as_it_was_and_back_again_by_the_command_that_is_offered(systems, s3, bucket, then, progress):
    was, at = then
    made, before = systems(), content(s3, bucket)
    assert "made since" in {change.before for change in RestoreArtifacts(at=at, exact=True).plan(made).changes}
    report = RestoreArtifacts(at=at, exact=True).run(made, progress)
    assert content(s3, bucket) == was
    undo = report.hints[0].split()
    assert undo[:3] == ["restore", "artifacts", "--at"]
    assert undo[4:] == ["--exact"]
    RestoreArtifacts(at=datetime.fromisoformat(undo[3]), exact=True).run(made, progress)
    assert content(s3, bucket) == before


def lie(*_):
    """A store that says that it has copied."""


def lose(*_):
    raise ObjectMissing("There is no such version.")


@pytest.mark.slow
@pytest.mark.parametrize("copy", [lie, lose], ids=lambda each: each.__name__)
def test_a_store_that_lies_or_has_lost_a_version_is_told_and_nothing_is_deleted(
    copy, systems, s3, bucket, then, progress, monkeypatch
):
    _, at = then
    before = content(s3, bucket)
    monkeypatch.setattr(artifacts_at, "_copy", copy)
    if copy is lie:
        with pytest.raises(OperatorError, match=r"4 artifacts of .* were changed again meanwhile"):
            RestoreArtifacts(at=at).run(systems(), progress)
    else:
        report = RestoreArtifacts(at=at, exact=True).run(systems(), progress)
        assert report.status is Status.FAIL
        assert report.summary.startswith("4 artifacts could not be brought back; 0 artifacts")
        assert "its version is gone" in report.sections[0].text
    assert content(s3, bucket) == before


@pytest.mark.slow
def test_only_what_was_asked_for(systems, s3, bucket, then, progress):
    was, at = then
    made, before = systems(), content(s3, bucket)
    report = RestoreArtifacts(at=at, prefix="1/a/").run(made, progress)
    assert report.hints[0].endswith("--exact --prefix 1/a/")
    assert content(s3, bucket) == before | {key: body for key, body in was.items() if key.startswith("1/a/")}


@pytest.mark.slow
def test_what_is_approved_is_what_differs_then(systems, s3, bucket, then):
    _, at = then
    made = systems()
    first = RestoreArtifacts(at=at).plan(made).facts
    assert RestoreArtifacts(at=at).plan(made).facts == first
    put(s3, bucket, "1/a/artifacts/overwritten.txt", b"and again")
    assert RestoreArtifacts(at=at).plan(made).facts != first


@pytest.mark.slow
def test_a_bucket_without_versions_says_so(systems, s3, buckets):
    put(s3, buckets[0], "1/a/artifacts/x.txt", b"x")
    with pytest.raises(OperatorError, match="keeps no versions: what it held") as refused:
        RestoreArtifacts(at=datetime.now(UTC)).plan(systems())
    assert "put-bucket-versioning" in refused.value.hint
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=buckets[0], VersioningConfiguration={"Status": status})
    at = moment()
    put(s3, buckets[0], "1/a/artifacts/x.txt", b"y")
    put(s3, buckets[0], "1/a/artifacts/y.txt", b"y")
    s3.delete_object(Bucket=buckets[0], Key="1/a/artifacts/y.txt")
    with pytest.raises(AlreadySo):
        # Its only version took the place of the one before.
        RestoreArtifacts(at=at).plan(systems())


@pytest.mark.slow
def test_where_rules_remove_old_versions_a_plan_says_since_when(systems, s3, bucket, then):
    _, at = then
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}}
    rules = [rule | {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    made = systems()
    assert versions.kept_days(made.objects, bucket) == 30
    assert not any("may be gone" in each for each in RestoreArtifacts(at=at).plan(made).warnings)
    (told,) = RestoreArtifacts(at=at - timedelta(days=31), exact=True).plan(made).warnings
    assert "removes what was replaced or deleted after 30 days" in told


class Paged:
    """A store that lists so many versions a page, as S3 does: by key, the newest first."""

    def __init__(self, kept, most):
        self.kept, self.most = kept, most
        self.objects = self.calls = self

    def ask(self, call, _bucket):
        return call()

    def send(self, *_, query):
        after = int(parse_qs(query).get("version-id-marker", "0")[0])
        page, more = self.kept[after : after + self.most], len(self.kept) > after + self.most
        separate = sorted(page, key=lambda one: one[2]) if self.most % 2 else page
        body = f"<ListVersionsResult><IsTruncated>{str(more).lower()}</IsTruncated>" + "".join(map(in_xml, separate))
        if more:
            body += f"<NextKeyMarker>{escape(page[-1][0])}</NextKeyMarker>"
            body += f"<NextVersionIdMarker>{after + self.most}</NextVersionIdMarker>"
        return Answer({}, body.encode())


def in_xml(listed):
    key, number, deleted = listed
    kind, more = (
        ("DeleteMarker", "") if deleted else ("Version", f"<Size>{number}</Size><ETag>&quot;{number}&quot;</ETag>")
    )
    at = (BEGAN + timedelta(seconds=number)).isoformat()
    more += f"<Key>{escape(key)}</Key><VersionId>v{number}</VersionId><LastModified>{at}</LastModified>"
    return f"<{kind}>{more}</{kind}>"


BEGAN = datetime(2026, 11, 30, tzinfo=UTC)
HISTORIES = st.dictionaries(
    st.text("aä/&<~\U0001f600", min_size=1, max_size=3), st.lists(st.booleans(), min_size=1, max_size=5), max_size=5
)


@given(HISTORIES, st.integers(1, 4), st.integers(-1, 6))
def test_each_history_is_whole_however_its_pages_are_cut(told, most, second):
    keys = sorted(told, key=str.encode)
    kept = [(key, number, told[key][number]) for key in keys for number in reversed(range(len(told[key])))]
    found = dict(versions.histories(Paged(kept, most), "b"))
    assert list(found) == keys
    for key, deletions in told.items():
        assert [each.deleted for each in found[key]] == deletions[::-1]
        until = deletions[: second + 1]
        there = versions.as_at(found[key], BEGAN + timedelta(seconds=second))
        assert there == (None if not until or until[-1] else found[key][len(deletions) - len(until)])


def test_what_is_there_now_is_the_newest():
    older, newer = Version("1", BEGAN), Version("2", BEGAN + timedelta(seconds=5), deleted=True)
    assert versions.as_at([newer, older], BEGAN + timedelta(seconds=1)) is older
    assert versions.as_at([newer, older], BEGAN + timedelta(seconds=9)) is None
    assert versions.as_at([newer, older], BEGAN - timedelta(seconds=1)) is None
