"""One artifact that cannot be read is listed with its reason, and costs nobody the others."""

import pytest

from workers.operations.backup.artifacts import Tuning, copy, verify
from workers.systems.errors import AccessDenied
from workers.systems.s3.transfer import Transfer

QUICK = Tuning(at_once=4, ahead=40)
GLACIER = "0/run/artifacts/file-00003"


def of(request):
    """The artifact that a call is about, read or copied."""
    return request.headers.get("x-amz-copy-source", f"/{request.key}").partition("/")[2]


def reading(request):
    return request.operation in {"CopyObject", "GET", "HEAD"}


@pytest.mark.parametrize("code", ["InvalidObjectState", "ObjectNotInActiveTierError", "AccessDenied"])
def test_an_archived_or_denied_object_is_left_out_and_taken_up_by_the_next(code, place, way, listening):
    place.fill(12)
    way.meet = lambda request: (403, code) if reading(request) and of(request) == GLACIER else None
    done = copy(place.objects, place.source, place.backups, "sets/one/", (), listening(), tuning=QUICK)
    reason = "we may not read it" if code == "AccessDenied" else "it is in an archive tier"
    assert done.left_out == (f"{GLACIER}: {reason}",)
    assert (done.objects, done.left_out_objects, done.left_out_bytes) == (11, 1, 20)
    assert done.vanished == ()
    assert verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening()).problems == ()
    way.meet = lambda _request: None
    after = copy(place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening(), tuning=QUICK)
    assert (after.objects, after.copied_objects, after.left_out) == (12, 1, ())


def test_a_bucket_that_we_may_not_write_to_is_no_artifact_that_cannot_be_read(place, way, listening):
    place.fill(3)
    way.meet = lambda request: (403, "AccessDenied") if request.operation == "CopyObject" else None
    with pytest.raises(AccessDenied, match=f"denies us access to {place.source} or {place.backups}"):
        copy(place.objects, place.source, place.backups, "sets/one/", (), listening(), tuning=QUICK)


def test_a_store_that_says_no_such_upload_where_there_are_none(place, way):
    way.meet = lambda request: (404, "NoSuchUpload") if request.operation == "List" else None
    with Transfer.of(place.objects, 1) as transfer:
        assert list(transfer.uploads(place.backups, "objects/")) == []
