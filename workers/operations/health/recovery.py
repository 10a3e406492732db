"""Point-in-time recovery: to which moment could one go back now, and what is missing in between.

Asked where it is on only. What the process that keeps the WAL says of itself is not asked for: the bucket and the
server's slot are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup import copies
from workers.operations.backup.wal import access, archive, drilled, overview
from workers.operations.choices import RECOVERY
from workers.operations.health import archiving
from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status, Text
from workers.wording import ago, count, duration, size

if TYPE_CHECKING:
    from workers.operations.backup.wal.drilled import MomentDrill
    from workers.operations.backup.wal.overview import Overview
    from workers.operations.health.questions import Asking
    from workers.settings import Recovery, Settings
    from workers.systems import Systems

LATE: Final = 4
"""Flushes that may be missed before it is said; ten minutes of none is a failure."""
LATE_SECONDS: Final = 600.0
BASE_DAYS: Final = 2
SLOT_SHARE: Final = 0.8


def ask(asking: Asking) -> Answer:
    """Look at the bucket, the slot, and what is lacking; or at what hands the WAL to another program."""
    if not asking.settings.ops.recovery.keeps_wal:
        return archiving.ask(asking)
    lacking = access.replication(asking.systems).lacking()
    if lacking:
        sentence = f"The WAL can't be kept: {'; '.join(each.what for each in lacking)}."
        text = "\n".join(each.remedy for each in lacking)
        return Answer(Status.FAIL, sentence, "not kept", (Text(text=text),), own_fault=True)
    seen = overview.look(asking.systems)
    drill = drilled.last(access.archive(asking.systems, seen.where))
    copied = tuple(_copy(seen, there) for there in copies.every(asking.systems))
    return judge(seen, asking.settings.ops.recovery, drill, copied)


def judge(seen: Overview, wanted: Recovery, drill: MomentDrill | None = None, copied: tuple[Copy, ...] = ()) -> Answer:
    """From what is kept, the last drill, and the copies."""
    found: list[tuple[Status, str]] = [*_of_point(seen, wanted), *_of_bases(seen), *_of_slot(seen, wanted)]
    found += [each for copy in copied for each in _of_copy(copy, wanted)]
    if drill is not None and not drill.well:
        found.append((Status.WARN, f"The last drill failed: {drill.problem}"))
    late = seen.point_seconds
    lag = seen.slot.lag_bytes if seen.slot else 0
    base = (seen.now - seen.bases[-1].finished_at).total_seconds() if seen.bases else None
    figures = {"slot_bytes": float(lag), "gaps": float(len(seen.gaps)), "kept_bytes": float(seen.kept.bytes)}
    figures |= {"point_seconds": late} if late is not None else {}
    figures |= {"base_age_seconds": base} if base is not None else {}
    figures |= {"restore_seconds": drill.seconds, "drill_well": float(drill.well)} if drill else {}
    worst = max((status for status, _ in found), key=lambda each: each.severity, default=Status.OK)
    said = [sentence for status, sentence in found if status is worst]
    sentence = " ".join(said) or f"One can go back to any second up to {_ago(late)}."
    facts = Facts(
        items=(
            ("can go back to", seen.spans),
            ("newest moment", _ago(late)),
            ("slot", f"the server keeps {size(lag)} for us" if seen.slot else "none"),
            ("last base backup", ago(base) if base is not None else "none"),
            ("WAL kept", f"{count(len(seen.kept.ordered()), 'segment')}, {size(seen.kept.bytes)}"),
            ("last drill", _drill(seen, drill)),
            *((f"copy in {each.place}", each.problem or _ago(each.late)) for each in copied),
            *(("missing", archive.gap_words(each, seen.where.segment_bytes)) for each in seen.gaps[:5]),
        )
    )
    return Answer(
        worst, sentence, f"{duration(late)} behind" if late is not None else "none", (facts,), figures, own_fault=True
    )


def _of_point(seen: Overview, wanted: Recovery) -> list[tuple[Status, str]]:
    late = seen.point_seconds
    if late is None:
        return [(Status.FAIL, "No WAL has been stored yet: start the process mlflow-ops wal.")]
    if late > max(LATE_SECONDS, LATE * wanted.flush_seconds):
        return [(Status.FAIL, f"No WAL has been stored for {duration(late)}: look at the process mlflow-ops wal.")]
    if late > LATE * wanted.flush_seconds:
        return [(Status.WARN, f"The newest moment that can be brought back is {duration(late)} old.")]
    return []


def _of_bases(seen: Overview) -> list[tuple[Status, str]]:
    if not seen.bases:
        return [(Status.FAIL, "There is no base backup, so no moment can be brought back: /mlflow backup base.")]
    found = []
    if seen.gaps:
        gap = archive.gap_words(seen.gaps[-1], seen.where.segment_bytes)
        newest = seen.kept.gaps(seen.bases[-1].first, seen.point)
        status = Status.FAIL if newest else Status.WARN
        then = (
            " A new base is needed: /mlflow backup base --now." if newest else " Moments after the next base are there."
        )
        found.append((status, f"WAL is missing: {gap}.{then}"))
    age = (seen.now - seen.bases[-1].finished_at).total_seconds()
    if age > BASE_DAYS * 86_400:
        found.append((Status.WARN, f"The last base backup is {duration(age)} old."))
    return found


def _of_slot(seen: Overview, wanted: Recovery) -> list[tuple[Status, str]]:
    if seen.slot is None:
        return [(Status.FAIL, "The server keeps no WAL for us: start the process mlflow-ops wal.")]
    if seen.slot.kept_from is None:
        return [(Status.FAIL, "The server has removed WAL that was not stored: a new base is needed.")]
    if seen.slot.lag_bytes > SLOT_SHARE * wanted.slot_bytes:
        sentence = (
            f"The server keeps {size(seen.slot.lag_bytes)} for us; at {size(wanted.slot_bytes)} the slot is given up."
        )
        return [(Status.WARN, sentence)]
    return []


@dataclass(frozen=True)
class Copy:
    """A copy of the WAL. late: how old the newest moment in it is. problem: why it can't be looked at."""

    place: str
    late: float | None = None
    problem: str = ""


def _copy(seen: Overview, there: Systems) -> Copy:
    place = copies.place(there)
    try:
        point = access.archive(there, seen.where).point()
    except OperatorError as error:
        return Copy(place, problem=error.message)
    return Copy(place, (seen.now - point.at).total_seconds() if point else None)


def _of_copy(copy: Copy, wanted: Recovery) -> list[tuple[Status, str]]:
    if copy.problem:
        return [(Status.WARN, f"The WAL's copy in {copy.place} can't be looked at: {copy.problem}")]
    if copy.late is None or copy.late > max(LATE_SECONDS, 2 * LATE * wanted.flush_seconds):
        behind = f"is {duration(copy.late)} behind" if copy.late is not None else "isn't there yet"
        return [(Status.WARN, f"The WAL's copy in {copy.place} {behind}.")]
    return []


def _drill(seen: Overview, drill: MomentDrill | None) -> str:
    if drill is None:
        return "none yet: /mlflow drill --at random"
    how = f"restored in {duration(drill.seconds)}" if drill.well else f"FAILED: {drill.problem}"
    return f"{archive.moment_of(drill.moment)}, {ago((seen.now - drill.at).total_seconds())}, {how}"


def _ago(seconds: float | None) -> str:
    return ago(seconds) if seconds is not None else "none"


def _look(_settings: Settings) -> str:
    return "psql -c 'SELECT * FROM pg_replication_slots'"


QUESTION = Question(RECOVERY, "Point-in-time recovery", "PostgreSQL", ask, _look, rests_on=("postgres", "storage"))
