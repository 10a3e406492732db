"""A set that is not signed is signed, once every byte of it was read and a second person has agreed.

For sets that were made before there was a key, or with a key that is signed with no more. What is signed is what stands
in the bucket: that it verifies says that it is whole, not where it comes from; that is what the approver answers for.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup import backup, manifest, sets, signing, verify
from workers.operations.backup.encryption import Keys
from workers.operations.backup.locking import rule
from workers.operations.backup.show import SetId
from workers.report import Report, Status, Text
from workers.wording import count, moment, size

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.settings import Ops
    from workers.systems import Systems


class BackupSign(Operation):
    """Sign a set with the current key. id: the short one or the whole name."""

    name: ClassVar[str] = "backup-sign"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (backup.LOCK,)
    timeout_seconds: ClassVar[int] = 6 * 3600

    id: SetId

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - always: whoever signs a forged set makes it ours
        """A second person must approve it."""
        return True

    def plan(self, systems: Systems) -> Plan:
        """What would be signed. Raises OperatorError, and AlreadySo where the current key has signed it."""
        made, keys = self._wanted(systems)
        amount = sum(each.bytes for each in made.stored) + (made.artifacts.bytes if made.artifacts else 0)
        before = f"signed with key {made.signature.key_id}" if made.signature else "not signed"
        warnings = () if made.signature else (_UNKNOWN.format(id=made.id, when=moment(made.finished_at)),)
        return Plan(
            title=f"Sign backup {made.id}",
            summary=f"read all of {made.id}, {size(amount)}, and sign it with key {keys.current_id}",
            steps=(f"Read {size(amount)} and compare every checksum", "Sign the manifest, if all of them are right"),
            changes=(Change(what=made.name, before=before, after=f"signed with key {keys.current_id}"),),
            warnings=warnings,
            undo=f"remove {made.name}manifest.json by hand",
            facts={"set": made.name, "manifest": hashlib.sha256(made.text()).hexdigest(), **made.checksums},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it and sign it. Raises OperatorError."""
        from workers.systems.s3.transfer import Transfer

        made, keys = self._wanted(systems)
        title, bucket = f"Sign backup {made.id}", systems.settings.ops.storage.backups_bucket
        with Transfer.of(systems.backups, verify.READERS, rule(systems.settings, datetime.now(UTC))) as transfer:
            progress.step("Reading every part", of="compare every checksum")
            problems = verify.problems(systems, made, transfer, progress, deep=True)
            if problems:
                return Report(
                    title=title,
                    status=Status.FAIL,
                    summary=f"{made.id} was not signed, {count(len(problems), 'problem')} found: {problems[0]}",
                    sections=(Text(title="What is wrong", text="\n".join(problems), literal=True),),
                    hints=("backup list",),
                )
            progress.step("Signing", of="Sign the manifest")
            progress.checkpoint()
            manifest.store(signing.signed(made, keys), transfer, bucket)
        return Report(
            title=title,
            status=Status.OK,
            summary=f"{made.id} is signed with key {keys.current_id}: all of its bytes were read and are right.",
            hints=(f"backup show {made.id}", f"drill {made.id}"),
        )

    def _wanted(self, systems: Systems) -> tuple[Manifest, Keys]:
        keys = Keys.of(systems.settings)
        if keys is None:
            raise OperatorError("Nothing can be signed: MLFLOW_OPS_BACKUP_KEY is not set.", "openssl rand -base64 32")
        made = sets.good(systems, self.id, unsigned=True)
        if made.signature and made.signature.key_id not in keys.ids:
            # Ours it would be for good; with --unsigned it is used once, by an admin who says why.
            raise signing.unknown_key(made.id, made.signature, keys)
        if made.signature and made.signature.key_id == keys.current_id:
            raise AlreadySo(f"The backup {made.id} is signed with key {keys.current_id} already.", "Nothing to do.")
        sets.refuse_foreign(systems, made)
        return made.model_copy(update={"target": systems.settings.environment.target}), keys


_UNKNOWN = (
    "Nothing proves that we made {id} (it says {when}): anyone who can write to the bucket could have. Once it is "
    "signed, it is restored like any other."
)
