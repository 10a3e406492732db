"""Sets that the retention does not keep are removed, and then the bytes that no set uses any more.

The manifest goes first, so a set is never half there and still called good. Bytes go last and only those older than a
day that no remaining set names: neither a kept one, nor one that cannot be read, nor one that is being made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from workers.errors import OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk, Within
from workers.operations.backup import copies, leftovers, sets
from workers.operations.backup.backup import LOCK
from workers.operations.backup.encryption import Keys
from workers.operations.backup.hold import held
from workers.operations.backup.show import reasons as kept_for
from workers.operations.backup.wal import keeping
from workers.report import Report, Status, Table, Text
from workers.systems.errors import ObjectMissing
from workers.wording import count, listed, moment, size

if TYPE_CHECKING:
    from workers.operations.backup.sets import Found
    from workers.systems import Systems
    from workers.systems.s3.objects import Objects

CALLS_AT_ONCE = 8
BASES_BYTES = 1 << 20
ROWS_AT_MOST = 100


@dataclass(frozen=True)
class Choice:
    """What stays and what goes. reasons: why a good set stays, by its name."""

    reasons: dict[str, str]
    going: tuple[Found, ...]
    staying: tuple[Found, ...]


class BackupPrune(Operation):
    """Remove what backup.retention in ops.yaml does not keep."""

    name: ClassVar[str] = "backup-prune"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = (LOCK, "base")
    timeout_seconds: ClassVar[int] = 6 * 3600

    def plan(self, systems: Systems) -> Plan:
        """Which sets would go, here and in the copies. Raises ObjectsError."""
        chosen = choose(systems)
        wanted = systems.settings.ops.backup.retention
        wal = keeping.look(systems) if systems.settings.ops.recovery.keeps_wal else None
        bases = f", remove {count(len(wal.going), 'base')}" if wal and wal.going else ""
        elsewhere, unseen = _elsewhere(systems)
        return Plan(
            title="Prune backups",
            summary=f"remove {count(len(chosen.going), 'set')}, keep {len(chosen.reasons)}{bases}",
            steps=(
                *(f"Remove {each.name}" for each in chosen.going),
                *(f"Remove {count(len(of.going), 'set')} of {place}" for place, of in elsewhere.items()),
                "Remove unfinished sets and uploads in which nothing was written for a day",
                "Remove the bytes of artifacts that no remaining set uses",
                *((f"Remove {_bases(wal)}WAL that no base needs: one can then go {wal.words}",) if wal else ()),
            ),
            changes=tuple(
                Change(what=f"{each.id} of {moment(each.begun)}", before="good", after="removed")
                for each in chosen.going
            ),
            warnings=(
                f"What is removed cannot be brought back. Kept: {count(len(chosen.reasons), 'good set')}.",
                *(f"Nothing is removed from {place}: {why}" for place, why in unseen.items()),
            ),
            undo="it cannot be undone",
            facts={
                "going": [each.name for each in chosen.going],
                "retention": wanted.model_dump(),
                **{f"going from {place}": [each.name for each in of.going] for place, of in elsewhere.items()},
                **({"bases": [each.name for each in wal.going]} if wal else {}),
            },
            sections=(_table(chosen),) if chosen.staying or chosen.going else (),
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Remove them. Raises ObjectsError; and OperatorError, before any bytes go, where a listing cannot be read."""
        summary, chosen = _pruned(systems, progress)
        also, status = [], Status.OK
        for there in copies.every(systems):
            place = copies.place(there)
            progress.step(f"Pruning {place}", of=f" of {place}")
            try:
                also.append(f"In {place}: {_pruned(there, Within(progress))[0]}.")
            except OperatorError as error:
                also.append(f"{place} was left alone: {error.message}")
                progress.ended(error.message, well=False)
                status = Status.WARN
        recovery, left = self._wal(systems, progress)
        also, status = [*also, *left], Status.WARN if left else status
        return Report(
            title="Prune backups",
            status=status,
            summary=f"{summary}: {listed(each.id for each in chosen.going) or 'no set had to go'}.{recovery}",
            sections=(
                *((_table(chosen),) if chosen.staying else ()),
                *((Text(title="Copies", text="\n".join(also)),) if also else ()),
            ),
            hints=("backup list", "backup usage"),
        )

    @staticmethod
    def _wal(systems: Systems, progress: Progress) -> tuple[str, list[str]]:
        """Remove what going back to a moment does not need any more; what was removed, and from which copies not."""
        from workers.systems.s3.transfer import Transfer

        if not systems.settings.ops.recovery.keeps_wal:
            return "", []
        progress.step("Removing WAL that no base needs", of="WAL that no base needs")
        chosen = keeping.look(systems)
        with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
            gone = keeping.remove(chosen, transfer, systems.settings.ops.storage.backups_bucket)
        left = []
        for there in copies.every(systems):
            try:
                with Transfer.of(there.backups, CALLS_AT_ONCE) as transfer:
                    keeping.remove(chosen, transfer, there.settings.ops.storage.backups_bucket)
            except OperatorError as error:
                left.append(f"WAL in {copies.place(there)} was left alone: {error.message}")
        bases = f"{count(len(chosen.going), 'base backup')} and " if chosen.going else ""
        said = f" {bases}{count(gone, 'object')} of WAL removed; one can go {chosen.words}."
        return said, left


def _bases(going: keeping.Choice) -> str:
    """The base backups that would go, before the WAL that does; empty if none."""
    names = [each.name for each in going.going]
    return f"the base backup{'s' if len(names) > 1 else ''} {listed(names)} and " if names else ""


def _elsewhere(systems: Systems) -> tuple[dict[str, Choice], dict[str, str]]:
    """What would go from each copy; and of those that cannot be looked at, why."""
    chosen: dict[str, Choice] = {}
    unseen: dict[str, str] = {}
    for there in copies.every(systems):
        try:
            chosen[copies.place(there)] = choose(there)
        except OperatorError as error:
            unseen[copies.place(there)] = error.message
    return chosen, unseen


def _pruned(systems: Systems, progress: Progress) -> tuple[str, Choice]:
    """What was removed, in words, and what was chosen."""
    from workers.operations.backup.artifacts import sweep
    from workers.systems.s3.transfer import Transfer

    bucket = systems.settings.ops.storage.backups_bucket
    now = datetime.now(UTC)
    progress.step(f"Looking at the sets in {bucket}")
    chosen = choose(systems)
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        for done, each in enumerate(chosen.going):
            progress.checkpoint()
            progress.step(f"Removing {each.name}", of=f"Remove {each.name}")
            progress.advance(done, len(chosen.going), "sets")
            leftovers.remove(transfer, bucket, each.name)
        progress.step("Removing unfinished sets and uploads", of="Remove unfinished")
        swept = leftovers.sweep(transfer, bucket, now)
    progress.checkpoint()
    progress.step("Removing bytes that no set uses", of="Remove the bytes")
    relied_on = [
        each.name for each in chosen.staying if each.name not in swept and _has_listing(systems.backups, bucket, each)
    ]
    keys = Keys.all_of(systems.settings)
    freed = sweep(systems.backups, bucket, relied_on, dry_run=False, older_than=now - leftovers.STALE, keys=keys)
    unfinished = f" and {count(len(swept), 'unfinished set')}" if swept else ""
    words = (
        f"{count(len(chosen.going), 'set')}{unfinished} removed, {len(chosen.reasons)} kept; "
        f"{count(freed.objects, 'object')} ({size(freed.bytes)}) that no set uses removed"
    )
    return words, chosen


def choose(systems: Systems, now: datetime | None = None) -> Choice:
    """Judge every set as of `now`. Those that are not good stay, and those that are locked or held, or that one that is
    being made builds on. Raises ObjectsError.
    """
    now = now or datetime.now(UTC)
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    found = sets.every(systems)
    reasons = kept_for(systems, found)
    for name in _built_on(objects, bucket, [each for each in found if each.manifest is None]):
        if name not in reasons and any(each.name == name and each.manifest for each in found):
            reasons[name] = "an unfinished set builds on it"
    for each in found:
        until = each.manifest.locked_until if each.manifest else None
        if until and until > now:
            reasons.setdefault(each.name, f"locked until {moment(until)}")
    unlocked = [each.name for each in found if each.manifest and each.name not in reasons]
    reasons |= dict.fromkeys(held(systems, unlocked), "held")
    going = tuple(each for each in found if each.manifest and each.name not in reasons)
    return Choice(reasons, going, tuple(each for each in found if each not in going))


def _built_on(objects: Objects, bucket: str, unfinished: list[Found]) -> set[str]:
    from workers.operations.backup.artifacts.listing import BASES

    found: set[str] = set()
    for each in unfinished:
        try:
            content = objects.read(bucket, f"{each.name}{BASES}", at_most=BASES_BYTES)
        except ObjectMissing:
            continue
        found.update(json.loads(content)["previous"])
    return found


def _has_listing(objects: Objects, bucket: str, found: Found) -> bool:
    """Whether a set names any bytes. One that says it does, and has no listing, must stop the sweep, not be skipped."""
    from workers.operations.backup.artifacts.listing import BASES, NAMES

    if found.manifest:
        return found.manifest.artifacts is not None
    for name in (*NAMES, BASES):
        try:
            objects.read(bucket, f"{found.name}{name}", at_most=1)
        except ObjectMissing:
            continue
        return True
    return False


def _table(chosen: Choice) -> Table:
    """Each set, newest first, with the reason that it stays or goes."""
    rows = []
    for each in sorted((*chosen.staying, *chosen.going), key=lambda each: each.name, reverse=True):
        if each.manifest is None:
            why = f"stays: {each.problem}"
        elif each.name in chosen.reasons:
            why = f"stays: {chosen.reasons[each.name]}"
        else:
            why = "goes: newer ones have its hour, day, week and month"
        rows.append((each.name, why))
    return Table(title="Every set", columns=("set", "stays or goes"), rows=tuple(rows[:ROWS_AT_MOST]))
