"""Ways to falsify the audit record, and what `audit verify` says of each."""

import json
import sys

import pytest

from tests.workers.operations.audit.conftest import later
from workers.engine.sealing import Sealing
from workers.records import audit_seals
from workers.records.audit_seals import SealKeys
from workers.report import Status

ATTACKER = SealKeys((b"attacker" * 4,))


def sealed_anew(entries, keys):
    """What somebody makes who has these keys."""
    before, seals = audit_seals.NOTHING_BEFORE, []
    for raw_id, fields in entries:
        entry = audit_seals.Entry(raw_id.decode(), fields[b"e"].decode())
        before = keys.seal(before, entry)
        seals.append((raw_id, {b"s": before.text.encode()}))
    return seals


def rewritten(entries, at):
    """The same, and somebody else asked for one of them."""
    changed = []
    for number, (raw_id, fields) in enumerate(entries):
        event = json.loads(fields[b"e"])
        if number == at:
            event |= {"requester": "U0MALLORY", "outcome": "nothing happened"}
        changed.append((raw_id, {b"e": json.dumps(event).encode()}))
    return changed


def nothing(kept):
    """Nobody touches it."""


def an_entry_rewritten(kept):
    kept.put(rewritten(kept.entries(), 4))


def rewritten_with_seals_of_another_key(kept):
    changed = rewritten(kept.entries(), 4)
    kept.put(changed, sealed_anew(changed, ATTACKER))


def rewritten_with_seals_that_need_no_key(kept):
    changed = rewritten(kept.entries(), 4)
    kept.put(changed, sealed_anew(changed, SealKeys()))


def rewritten_and_sealed_by_our_own_worker(kept):
    changed = rewritten(kept.entries(), 4)
    kept.put(changed, [])
    kept.redis.delete("mlflow-ops:mlflow:audit:sealed")
    kept.seal()


def the_tail_cut_with_its_seals(kept):
    kept.put(kept.entries()[:-4], kept.seals()[:-4])


def an_entry_removed_with_its_seal(kept):
    entries, seals = kept.entries(), kept.seals()
    kept.put(entries[:4] + entries[5:], seals[:4] + seals[5:])


def an_entry_inserted(kept):
    entries = kept.entries()
    at, _, number = entries[4][0].decode().partition("-")
    kept.put([*entries[:5], (f"{at}-{int(number) + 100}", {b"e": b'{"what": "approved", "id": "1"}'}), *entries[5:]])


def the_keys_deleted(kept):
    kept.redis.delete("mlflow-ops:mlflow:audit", "mlflow-ops:mlflow:audit:sealed")


def the_keys_deleted_and_work_goes_on(kept):
    the_keys_deleted(kept)
    later()
    kept.run(2)
    kept.seal()


def an_older_snapshot(kept):
    kept.put(kept.entries()[:9], kept.seals()[:9])


def an_older_snapshot_and_work_goes_on(kept):
    an_older_snapshot(kept)
    later()
    kept.run(8)
    kept.seal()


def an_older_snapshot_that_was_exported_again(kept):
    an_older_snapshot_and_work_goes_on(kept)
    kept.export()


def a_file_of_the_export_rewritten(kept):
    body = kept.s3.get_object(Bucket=kept.bucket, Key=kept.files()[0])["Body"].read()
    kept.s3.put_object(Bucket=kept.bucket, Key=kept.files()[0], Body=body.replace(b"U0VERA", b"U0ZOE1", 1))


def a_file_of_the_export_removed(kept):
    kept.s3.delete_object(Bucket=kept.bucket, Key=kept.files()[1])


WAYS = {
    nothing: ("are as they were written", ()),
    an_entry_rewritten: ("tampered", ("changed after it was sealed", "rewritten since it was exported")),
    rewritten_with_seals_of_another_key: ("tampered", ("a key that isn't ours", "rewritten since it was exported")),
    rewritten_with_seals_that_need_no_key: ("tampered", ("since it was exported",)),
    rewritten_and_sealed_by_our_own_worker: ("tampered", ("rewritten since it was exported",)),
    the_tail_cut_with_its_seals: ("tampered", ("The end of the record was cut off: 4 moments", "seals 27 to 30")),
    an_entry_removed_with_its_seal: ("tampered", ("1 moment was removed with its seal", "seal 5")),
    an_entry_inserted: ("tampered", ("was inserted",)),
    the_keys_deleted: ("tampered", ("deleted from Redis: up to seal 30", "nothing of it is left")),
    the_keys_deleted_and_work_goes_on: ("tampered", ("deleted from Redis: up to seal 30", "began anew")),
    an_older_snapshot: ("tampered", ("The end of the record was cut off: 21 moments", "seals 10 to 30")),
    an_older_snapshot_and_work_goes_on: ("tampered", ("set back to seal 9: 21 moments, seals 10 to 30",)),
    an_older_snapshot_that_was_exported_again: ("tampered", ("Redis was set back",)),
    a_file_of_the_export_rewritten: ("tampered", ("changed after it was sealed",)),
    a_file_of_the_export_removed: ("tampered", ("The export lacks seals 16 to 24",)),
}


def exported(kept):
    """Thirty moments in three files."""
    for number in (5, 3, 2):
        kept.run(number)
        later()
        kept.export()


@pytest.mark.slow
def test_each_way_is_named(made, capsys):
    """What was done to the record → what `audit verify` said of it."""
    rows, wrong = [], []
    for way, (verdict, words) in WAYS.items():
        kept = made()
        kept.redis.flushall()
        exported(kept)
        way(kept)
        report = kept.verify()
        told = " ".join(row[0] for section in report.sections for row in getattr(section, "rows", ()))
        rows.append(f"{way.__name__.replace('_', ' '):42} | {report.summary}")
        named = verdict in report.summary and all(each in told for each in words)
        if not named or report.status is not (Status.OK if way is nothing else Status.FAIL):
            wrong.append((way.__name__, report.status, told))
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *rows, ""]))
    assert not wrong


def test_before_it_is_exported_a_worker_that_lives_sees_that_it_was_set_back(kept):
    """What is cut off with its seals leaves no trace in Redis, and nothing is exported yet."""
    sealing = Sealing(kept.redis, kept.keys)
    kept.run(3)
    assert sealing.step() == 9
    kept.put(kept.entries()[:5], kept.seals()[:5])
    later()
    assert sealing.step() == 1
    report = kept.verify()
    assert report.status is Status.FAIL
    assert "seal 9 was made for the entry" in report.summary
    assert "Redis ends at seal 5" in report.summary


def test_after_redis_was_set_back_what_is_new_is_exported_all_the_same(kept):
    exported(kept)
    an_older_snapshot_and_work_goes_on(kept)
    kept.export()
    kept.run(1)
    kept.export()
    body = "".join(kept.s3.get_object(Bucket=kept.bucket, Key=key)["Body"].read().decode() for key in kept.files())
    assert all(
        fields[b"e"].decode() in [json.loads(row).get("text") for row in body.splitlines()]
        for _, fields in kept.entries()
    )
