"""The tests of workers.operations.backup.artifacts.test_copying on rclone's store."""

import pytest

from tests.workers.operations.backup.artifacts.test_copying import *  # noqa: F403 - each of its tests, with its fixtures
from workers.operations.backup.artifacts import Tuning, copy, restoring, verify
from workers.systems.s3.multipart import MIB

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# It refuses keys with a slash at their beginning, or two in a row.
del test_every_artifact_is_there_whatever_its_key  # noqa: F821
# It keeps no tags: what asks for an object's is answered 500.
del test_content_type_metadata_and_tags_stay  # noqa: F821
del test_between_two_stores_the_bytes_are_streamed_with_all_that_belongs_to_them  # noqa: F821
# It copies no parts of objects: see the test below.
del test_above_the_threshold_the_store_copies_in_parts  # noqa: F821


def test_what_it_does_not_copy_in_parts_goes_through_us_both_ways(place, listening, monkeypatch):
    body = bytes(range(256)) * 4096 * 11
    place.put("large", body)
    place.put("small", b"small")
    tuning = Tuning(parts_above=6 * MIB, part_bytes=5 * MIB)
    done = copy(place.objects, place.source, place.backups, "sets/one/", (), listening(), tuning=tuning)
    assert (done.objects, done.left_out) == (2, ())
    assert verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening()).problems == ()
    place.direct.delete_object(Bucket=place.source, Key="large")
    monkeypatch.setattr(restoring, "COPY_AT_MOST", 6 * MIB)
    wanted = restoring.Wanted(place.backups, "sets/one/", place.source)
    back = restoring.restore(place.objects, wanted, listening(), expected=1)
    assert (back.added, back.lost) == (1, [])
    assert place.direct.get_object(Bucket=place.source, Key="large")["Body"].read() == body
    assert place.uploads() == []
