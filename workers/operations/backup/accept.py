"""A set that shrank is taken for whole, because a second person agrees that what it lost was meant to go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from workers.errors import AlreadySo
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup import backup, manifest, sets, signing
from workers.operations.backup.encryption import Keys
from workers.operations.backup.locking import rule
from workers.operations.backup.show import SetId
from workers.report import Report, Status

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.settings import Ops
    from workers.systems import Systems


_WARNING = (
    "Lost since {since}: {lost}. If that wasn't meant, restore {since} instead: once this is accepted, the sets from "
    "before it go as backup.retention says."
)


class BackupAccept(Operation):
    """Let a set that shrank be latest. id: the short one or the whole name."""

    name: ClassVar[str] = "backup-accept"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (backup.LOCK,)
    timeout_seconds: ClassVar[int] = 300

    id: SetId

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - always: afterwards, what was lost is pruned in its time
        """A second person must approve it."""
        return True

    def plan(self, systems: Systems) -> Plan:
        """What it lost. Raises OperatorError, and AlreadySo where it lost nothing."""
        made = self._wanted(systems)
        return Plan(
            title=f"Accept backup {made.id}",
            summary=f"{made.id} may be latest although it lost {made.losses}",
            steps=(f"Write its manifest again, saying that {made.id} was accepted",),
            changes=(Change(what=made.name, before=f"shrank since {made.shrank_since}", after="accepted"),),
            warnings=(_WARNING.format(lost=made.losses, since=made.shrank_since),),
            facts={"set": made.name, "lost": list(made.shrank), **made.checksums},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Write it. Raises OperatorError, and AlreadySo."""
        from workers.systems.s3.transfer import Transfer

        made = self._wanted(systems)
        progress.step("Writing its manifest")
        accepted = made.model_copy(update={"accepted": True})
        keys = Keys.of(systems.settings)
        accepted = signing.signed(accepted, keys) if keys else accepted
        with Transfer.of(systems.backups, 1, rule(systems.settings, datetime.now(UTC))) as transfer:
            manifest.store(accepted, transfer, systems.settings.ops.storage.backups_bucket)
        return Report(
            title=f"Accept backup {made.id}",
            status=Status.OK,
            summary=f"{made.id} may be latest, although it lost {made.losses}. The next sets are compared with it.",
            hints=("backup list", "backup prune --dry-run"),
        )

    def _wanted(self, systems: Systems) -> Manifest:
        made = sets.good(systems, self.id)
        if not made.shrunk:
            raise AlreadySo(f"The backup {made.id} lost nothing that must be accepted.", "Nothing to do.")
        return made
