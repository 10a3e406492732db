"""A new set builds on what earlier ones keep; what somebody else has put into the bucket is never signed with it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.workers.operations.backup import forging
from tests.workers.operations.backup.artifacts.conftest import store  # noqa: F401 - a fixture
from tests.workers.operations.backup.test_forged import place  # noqa: F401 - a fixture
from workers.operation import Unwatched
from workers.operations.backup import backup, sets
from workers.operations.backup.artifacts import copying, listing, verify, writing
from workers.operations.backup.artifacts.known import Known
from workers.operations.backup.artifacts.listing import Frames
from workers.operations.backup.backup import Backup
from workers.report import Status
from workers.systems.s3.transfer import Transfer

EVIL = b"import os; os.system('id')"


def back_up(place):  # noqa: F811 - the fixture
    report = Backup(parts=("artifacts",)).run(place.systems, Unwatched())
    assert report.status is Status.WARN, report.summary
    made = sets.good(place.systems, "latest")
    # There is no database here to be asked.
    (unasked,) = made.warnings
    assert unasked.startswith("Whether artifacts are in other places than their bucket is unknown: ")
    return made


def right(place, made):  # noqa: F811 - the fixture
    seen = verify(
        place.systems.backups,
        place.backups,
        made.name,
        deep=True,
        progress=Unwatched(),
        sha256=made.artifacts.listing.sha256,
        keys=place.keys,
    )
    return (seen.objects, seen.problems)


def lying(place, name):  # noqa: F811 - the fixture
    """A listing of what is there now, whose bytes are those of somebody else; it is whole in itself."""
    kept = "objects/evil!/" + "0" * 32
    place.s3.put_object(Bucket=place.backups, Key=kept, Body=EVIL)
    frames, body = Frames(), b""
    with Transfer.of(place.systems.objects, 1) as transfer:
        for item in transfer.items(place.artifacts):
            entry = listing.Entry(item.key, item.size, item.etag, item.last_modified, kept, "md5", "0" * 32)
            body += frames.add(entry.line(), item.size)
    place.s3.put_object(Bucket=place.backups, Key=name, Body=body + frames.end())


def test_sets_are_signed_and_the_second_copies_only_what_is_new(place):  # noqa: F811 - the fixture
    first = back_up(place)
    assert first.signature.key_id == place.keys.current_id
    assert first.target == "mlflow"
    place.s3.put_object(Bucket=place.artifacts, Key="2/new", Body=b"new")
    second = back_up(place)
    assert (second.artifacts.objects, second.artifacts.copied_objects) == (4, 1)
    assert right(place, second) == (4, ())


def test_a_listing_that_was_exchanged_is_not_built_on(place):  # noqa: F811 - the fixture
    first = back_up(place)
    lying(place, first.artifacts.listing.key)
    second = back_up(place)
    assert second.artifacts.copied_objects == 3
    assert right(place, second) == (3, ())


def test_parts_that_somebody_else_wrote_are_not_built_on(place):  # noqa: F811 - the fixture
    name = sets.new_name(forging.now() - timedelta(minutes=1), ())
    place.s3.put_object(Bucket=place.backups, Key=f"{name}artifacts.previous.json", Body=b'{"previous": []}')
    lying(place, listing.part_name(name, 1))
    made = back_up(place)
    assert made.artifacts.copied_objects == 3
    assert right(place, made) == (3, ())


def test_a_set_that_is_not_signed_is_not_built_on(place):  # noqa: F811 - the fixture
    first = back_up(place)
    told = forging.document(place, first)
    del told["signature"]
    forging.written(place, first, told)
    assert back_up(place).artifacts.copied_objects == 3


@pytest.mark.parametrize("encrypt", [True, False])
@pytest.mark.parametrize("change", [lambda name: name, lambda name: name.replace("part-00001", "part-00007")])
def test_our_own_parts_are_built_on_under_their_own_name_only(change, encrypt, place):  # noqa: F811 - the fixture
    name = sets.new_name(forging.now(), ())
    sources = copying.Sources(place.artifacts, place.backups, name, (name,), keys=place.keys, encrypt=encrypt)
    key_id = place.keys.current_id if encrypt else ""
    with Transfer.of(place.systems.backups, 1) as transfer:
        notes = writing.Notes(transfer, sources)
        items = list(transfer.items(place.artifacts))
        for item in items:
            entry = listing.Entry(item.key, item.size, item.etag, item.last_modified, "objects/x", "md5", "0" * 32)
            entry = replace(entry, key_id=key_id, stored=9)
            notes.add(entry.line(), item.size)
        notes.flush()
        (key,) = listing.parts(transfer, place.backups, name)
        found = place.s3.get_object(Bucket=place.backups, Key=key)
        place.s3.delete_object(Bucket=place.backups, Key=key)
        place.s3.put_object(
            Bucket=place.backups, Key=change(key), Body=found["Body"].read(), Metadata=found["Metadata"]
        )
        known = Known(transfer, replace(sources, previous=(name,)))
        assert (known.find(items[0]) is not None) is (change(key) == key)


def test_without_a_key_a_backup_says_that_it_is_not_signed(place):  # noqa: F811 - the fixture
    plain = place.load(MLFLOW_OPS_BACKUP_KEY="")
    report = Backup(parts=("artifacts",)).run(plain, Unwatched())
    assert report.status is Status.WARN
    assert "NOT SIGNED" in report.model_dump_json()
    assert backup.signing.NOT_SIGNED in Backup(parts=("artifacts",)).plan(plain).warnings
