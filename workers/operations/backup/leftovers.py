"""What interrupted backups leave behind, removed by the next one: uploads that nobody completes, unfinished sets.

Called while the lock "backup" is held, so that whatever is under way in the bucket is nobody's. A worker that was only
frozen, and goes on after its lock has lapsed, finds its upload gone and fails: nothing of it is taken for good.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final

from workers.operations.backup import database, manifest, sets
from workers.operations.backup.encryption import NAME_END

if TYPE_CHECKING:
    from workers.systems.s3.transfer import Transfer

STALE: Final = timedelta(days=1)
BEGUN: Final = "begun.json"
"""Written first and removed last: with it a set that came no further is seen, listed and swept."""


def abort_uploads(transfer: Transfer, bucket: str) -> int:
    """Abort every multipart upload of ours; how many there were. Raises ObjectsError."""
    unfinished = [name for name in sets.names(transfer.objects, bucket) if transfer.exists(bucket, f"{name}{BEGUN}")]
    # MinIO lists uploads by their whole key only.
    dumps = [
        f"{name}{dump}{end}"
        for name in unfinished
        for dump in (database.NAME, database.AUTH_NAME)
        for end in ("", NAME_END)
    ]
    pending = {
        (each.key, each.upload)
        for prefix in (sets.PREFIX, "objects/", *dumps)
        for each in transfer.uploads(bucket, prefix)
    }
    for key, upload in pending:
        transfer.abort(bucket, key, upload)
    return len(pending)


def stale(transfer: Transfer, bucket: str, now: datetime) -> list[str]:
    """The names of sets without a manifest in which nothing was written for a day. Raises ObjectsError."""
    found = []
    for name, items in groupby(transfer.items(bucket, sets.PREFIX), lambda item: sets.name_in(item.key)):
        written, finished = "", False
        for item in items:
            written = max(written, item.last_modified)
            finished = finished or item.key == f"{name}{manifest.NAME}"
        # The store's clock is the one that counts: ours may have jumped when the set was named.
        if name and not finished and now - datetime.fromisoformat(written) > STALE:
            found.append(name)
    return found


def sweep(transfer: Transfer, bucket: str, now: datetime) -> tuple[str, ...]:
    """Remove the stale sets; their names. The bytes under objects/ that they alone used go with the next prune."""
    found = stale(transfer, bucket, now)
    for name in found:
        remove(transfer, bucket, name)
    return tuple(found)


def remove(transfer: Transfer, bucket: str, name: str) -> None:
    """Remove a set: the manifest first, so that it is never half there and claims to be whole. Raises ObjectsError."""
    transfer.delete(bucket, [f"{name}{manifest.NAME}"])
    transfer.delete(bucket, [item.key for item in transfer.items(bucket, name)])
