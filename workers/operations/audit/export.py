"""Exporting the audit record to the backups' bucket, and trimming in Redis what is there.

Only what is exported is trimmed, and only what is older than `audit.keep_days` or more than KEPT_AT_MOST entries: so
Redis does not fill with it. Exported is what comes after the last file's last entry; where Redis does not have that
entry any more, from the last one on that both have.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Final

from redis.exceptions import LockError

from workers.operation import Operation, Progress, Risk
from workers.operations.audit.files import ENTRIES_AT_MOST, Export, FileDamaged
from workers.records import audit_key, audit_log, audit_seals
from workers.records.audit_seals import NOTHING_BEFORE, Seal, SealKeys
from workers.report import Facts, Report, Status
from workers.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from workers.records.audit_log import Entry
    from workers.systems import Systems

KEPT_AT_MOST: Final = 100_000
"""Entries in Redis, with their seals about 50 MB, however young they are."""
NOT_SEALED: Final = (
    "NOT SEALED: neither MLFLOW_OPS_AUDIT_KEY nor MLFLOW_OPS_BACKUP_KEY nor backup.kms_key_id is set, so whoever can "
    "write to Redis can rewrite what is not exported yet."
)
_LOCK: Final = audit_log.STREAM + ":exporting"
_LOCK_SECONDS: Final = 120.0


class AuditExport(Operation):
    """Seal what is new, write it to the backups' bucket, and trim what is there and old."""

    name: ClassVar[str] = "audit-export"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 600

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Nothing is trimmed that is not in the bucket. Raises ObjectsError, FileDamaged."""
        redis, keys = systems.redis, audit_key.keys(systems, make=True)
        lock = redis.lock(_LOCK, timeout=_LOCK_SECONDS, blocking=False)
        if not lock.acquire():
            return Report(title="Audit", status=Status.OK, summary="An export is under way already.")
        try:
            progress.step("Sealing what is new")
            while audit_seals.seal(redis, keys):
                pass
            progress.step("Exporting it")
            written, last = _written(systems, progress)
            progress.step("Trimming what is exported")
            trimmed = _trimmed(redis, last, systems.settings.ops.audit.keep_days)
        finally:
            # If it lapsed, whoever exports now writes what we wrote once more, which does no harm.
            with suppress(LockError):
                lock.release()
        return _report(systems, keys, written, last, trimmed)


def _report(systems: Systems, keys: SealKeys, written: int, last: tuple[str, Seal] | None, trimmed: int) -> Report:
    where = f"s3://{Export(systems).bucket}/{Export(systems).folder}"
    summary = f"{count(written, 'moment')} exported to {where} and read back."
    if trimmed:
        summary += f" {count(trimmed, 'older one')} removed from Redis."
    items = (("last seal", str(last[1].number) if last else "none"), ("its code", last[1].mac if last else "none"))
    if not keys.given:
        return Report(
            title="Audit", status=Status.WARN, summary=f"{summary} {NOT_SEALED}", sections=(Facts(items=items),)
        )
    return Report(title="Audit", status=Status.OK, summary=summary, sections=(Facts(items=items),))


def _written(systems: Systems, progress: Progress) -> tuple[int, tuple[str, Seal] | None]:
    """Write what is not exported yet: how many entries, and the last one that is exported now."""
    export, redis = Export(systems), systems.redis
    begins, before = common(export, redis)
    pending = _sealed(redis, begins)
    written, last = 0, (begins, before) if before.number else None
    while held := list(islice(pending, ENTRIES_AT_MOST)):
        progress.checkpoint()
        export.write(before, held, datetime.now(UTC))
        last = held[-1][0].id, held[-1][1]
        before, written = last[1], written + len(held)
    return written, last


def common(export: Export, redis: Redis) -> tuple[str, Seal]:
    """The last entry that both Redis and the export have, by its id and seal; where there is none, what Redis' record
    begins behind.
    """
    first = audit_seals.anchor(redis)
    for file in export.newest_first() if first is not None else ():
        try:
            entry_id, seal = export.read(file).last
        except FileDamaged:
            continue
        if audit_seals.at(redis, entry_id) == seal:
            return entry_id, seal
        if first is None or audit_log.order(entry_id) < audit_log.order(first[0]):
            break
    if first is not None and first[1].number > 1 and not redis.xrange(audit_log.STREAM, first[0], first[0]):
        return first
    return "-", NOTHING_BEFORE


def _sealed(redis: Redis, after: str) -> Iterator[tuple[Entry, Seal]]:
    for each in audit_seals.sealed(redis, after=after):
        if each.entry is not None and each.seal is not None:
            yield each.entry, each.seal


def _trimmed(redis: Redis, last: tuple[str, Seal] | None, keep_days: int) -> int:
    """Remove from Redis what is exported and old, or too much; how many entries."""
    if last is None:
        return 0
    oldest = f"{int((datetime.now(UTC) - timedelta(days=keep_days)).timestamp() * 1000)}-0"
    surplus: int = int(redis.xlen(audit_log.STREAM)) - KEPT_AT_MOST
    if surplus > 0:
        first_that_stays = next(islice(audit_log.entries(redis), surplus, None)).id
        oldest = max(oldest, first_that_stays, key=audit_log.order)
    # What is exported last stays: the next export begins there.
    return audit_seals.trim(redis, min(oldest, last[0], key=audit_log.order))
