"""Verifying the audit record: each seal in Redis and in the export, and the one beside the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import time
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.operation import Operation, Progress, Risk
from workers.operations.audit.comparing import Comparison, compare
from workers.operations.audit.export import NOT_SEALED
from workers.operations.audit.files import Export
from workers.records import audit_chain, audit_key
from workers.report import Facts, Report, Status, Table
from workers.wording import NOTHING, ago, count, moment

if TYPE_CHECKING:
    from workers.records.audit_chain import Verdict
    from workers.records.audit_seals import SealKeys
    from workers.systems import Systems

SEALED_WITHIN: Final = 60.0
"""Seconds after which an entry without a seal says that no worker seals."""
EXPORTED_WITHIN: Final = timedelta(hours=3)


class AuditVerify(Operation):
    """Verify the record and its export. since_seconds: only what was exported since then; None: all of it."""

    name: ClassVar[str] = "audit-verify"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 3600
    long: ClassVar[bool] = True

    since_seconds: Annotated[float, Field(gt=0)] | None = None

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Raises ObjectsError, and RedisError."""
        keys = audit_key.keys(systems)
        progress.step("Making the seals in Redis anew")
        here = audit_chain.verify(systems.redis, keys)
        progress.step("Comparing it with the export")
        since = datetime.now(UTC) - timedelta(seconds=self.since_seconds) if self.since_seconds else None
        there = compare(Export(systems), systems.redis, keys, since=since, progress=progress)
        return _report(here, there, keys, Export(systems))


def _report(here: Verdict, there: Comparison, keys: SealKeys, export: Export) -> Report:
    faults = tuple(dict.fromkeys((*here.faults, *there.faults)))
    facts = Facts(
        items=(
            ("in Redis", f"{count(here.entries, 'moment')} with seals, {here.waiting} not sealed yet"),
            (
                "exported",
                f"{count(there.entries, 'moment')} in {count(there.files, 'file')}" if there.files else "none",
            ),
            ("where", f"s3://{export.bucket}/{export.folder}"),
            ("last seal in Redis", str(here.last.number or NOTHING)),
            ("last seal exported", _exported(there)),
            ("keys", ", ".join(keys.ids) or "none"),
        )
    )
    if faults:
        more = f" And {len(faults) - 1} more." if len(faults) > 1 else ""
        table = Table(title="What is wrong", columns=("what",), rows=tuple((f"{each}.",) for each in faults))
        summary = f"The record was tampered with: {faults[0]}.{more}"
        return Report(title="Audit", status=Status.FAIL, summary=summary, sections=(table, facts))
    doubts = _doubts(here, there, keys, export)
    said = f"{count(here.entries, 'moment')} in Redis and {there.entries:,} in the export are as they were written"
    summary = f"{said}: {count(here.proven + there.proven, 'seal')} verified." + "".join(f" {each}" for each in doubts)
    status = Status.WARN if doubts else Status.OK
    return Report(title="Audit", status=status, summary=summary, sections=(facts,))


def _exported(there: Comparison) -> str:
    if there.written_at is None:
        return NOTHING
    return f"{there.last.number}, {moment(there.written_at)}"


def _doubts(here: Verdict, there: Comparison, keys: SealKeys, export: Export) -> list[str]:
    """What could not be verified although nothing speaks against it."""
    doubts = []
    unproven = here.unproven + there.unproven
    if not keys.given and unproven and audit_key.given(export.systems.settings):
        doubts.append(
            f"{count(unproven, 'seal')} can't be verified: the key that KMS has wrapped is not there any more "
            f"(s3://{export.bucket}/{audit_key.place(export.systems.settings)}). Restore an earlier version of it."
        )
    elif not keys.given and unproven:
        doubts.append(
            f"{count(unproven, 'seal')} can't be verified: this process has no MLFLOW_OPS_AUDIT_KEY. A worker does."
        )
    elif not audit_key.given(export.systems.settings):
        doubts.append(NOT_SEALED)
    elif here.keyless + there.keyless:
        keyless = here.keyless + there.keyless
        doubts.append(f"{count(keyless, 'seal')} from before there was a key prove nothing.")
    if here.waiting_since is not None and time() - here.waiting_since > SEALED_WITHIN:
        doubts.append(f"The oldest entry without a seal is from {ago(time() - here.waiting_since)}: no worker seals.")
    if not there.files:
        doubts.append("Nothing is exported yet: what was cut off or set back can't be seen. /mlflow audit export")
    elif there.written_at is not None and datetime.now(UTC) - there.written_at > EXPORTED_WITHIN:
        age = ago((datetime.now(UTC) - there.written_at).total_seconds())
        doubts.append(f"The last export is from {age}: what was written since can be cut off unseen.")
    if there.first > 1:
        doubts.append(f"The export begins with seal {there.first}.")
    return doubts
