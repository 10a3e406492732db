"""Point-in-time recovery whose WAL another program keeps: does the server hand it over, and how far back can one go.

What the archive itself holds is looked at by the weekly drill, if at all (CloudNativePG); of pgBackRest and Barman only
the server's side is seen from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.operations.backup.wal import access, archive, drilled
from workers.operations.cloudnativepg import live
from workers.operations.health.questions import Answer
from workers.report import Facts, Status
from workers.systems.cluster import cloudnativepg
from workers.systems.postgres import archiving
from workers.wording import ago, count, duration

if TYPE_CHECKING:
    from datetime import datetime

    from workers.operations.backup.wal.drilled import MomentDrill
    from workers.operations.cloudnativepg.live import Live
    from workers.operations.health.questions import Asking
    from workers.systems.postgres.archiving import Archiver

NAMES: Final = {"cnpg": "CloudNativePG", "pgbackrest": "pgBackRest", "barman": "Barman"}
BASE_DAYS: Final = 2


def ask(asking: Asking) -> Answer:
    """Ask the server and, with CloudNativePG, the Cluster. Raises OperatorError."""
    systems, kept_by = asking.systems, asking.settings.ops.recovery.source
    seen = archiving.look(systems.admin_database.within(asking.patience))
    if kept_by != "cnpg":
        return judge(seen, NAMES[kept_by])
    of = live.look(systems)
    drill = drilled.last(access.archive(systems, access.places_of(of.server)))
    return judge(seen, NAMES[kept_by], of, drill)


def judge(seen: Archiver, name: str, of: Live | None = None, drill: MomentDrill | None = None) -> Answer:
    """From what the server's archiver says, the Cluster, and the last drill. name: of what keeps the WAL."""
    found = [*_of_archiver(seen), *(_of_backups(of, seen.now) if of else [])]
    if drill is not None and not drill.well:
        found.append((Status.WARN, f"The last drill failed: {drill.problem}"))
    worst = max((status for status, _ in found), key=lambda each: each.severity, default=Status.OK)
    late, point = seen.late_seconds, seen.point_seconds
    figures = {"waiting": float(seen.waiting)} | ({"point_seconds": point} if point is not None else {})
    facts = [("kept by", name), ("last segment archived", ago(late) if late is not None else "none")]
    facts.append(("waiting", count(seen.waiting, "whole segment")))
    if of:
        facts.append(("can go back to", f"since {archive.moment_of(of.since)}" if of.since else "nowhere yet"))
        facts.append(("last base backup", ago((seen.now - of.last).total_seconds()) if of.last else "none"))
        facts.append(("last drill", _drill(drill)))
        figures |= {"base_age_seconds": (seen.now - of.last).total_seconds()} if of.last else {}
        figures |= {"restore_seconds": drill.seconds, "drill_well": float(drill.well)} if drill else {}
    else:
        facts.append(("backups", f"not looked at: ask {name}"))
    well = f"The server hands its WAL to {name}: the newest moment there is at most {duration(point or 0.0)} old."
    sentence = " ".join(said for status, said in found if status is worst) or well
    figure = f"{duration(point)} behind" if point is not None else "none"
    return Answer(worst, sentence, figure, (Facts(items=tuple(facts)),), figures, own_fault=True)


def _of_archiver(seen: Archiver) -> list[tuple[Status, str]]:
    if not seen.on:
        return [(Status.FAIL, "The server archives no WAL: archive_mode is off.")]
    if seen.failing:
        since = f" The last that it did was {ago(seen.late_seconds)}." if seen.late_seconds is not None else ""
        return [(Status.FAIL, f"The server can't archive its WAL: {seen.failed} failed.{since}")]
    if seen.late_seconds is None:
        return [(Status.FAIL, "The server has archived no WAL yet.")]
    if seen.behind:
        said = f"{count(seen.waiting, 'segment')} of WAL wait to be archived, the last was {ago(seen.late_seconds)}."
        return [(Status.FAIL, said)]
    if not seen.timeout_seconds:
        return [(Status.WARN, "archive_timeout is 0: on a quiet server what is written stays out of the archive.")]
    return []


def _of_backups(of: Live, now: datetime) -> list[tuple[Status, str]]:
    well, said = cloudnativepg.archives(of.item)
    found = [] if well else [(Status.FAIL, f"{of.words} says that it doesn't archive: {said.rstrip('.')}.")]
    if of.since is None:
        found.append((Status.FAIL, f"{of.words} has no completed backup, so no moment can be brought back."))
    elif of.last and (now - of.last).days >= BASE_DAYS:
        found.append((Status.WARN, f"The last base backup was {ago((now - of.last).total_seconds())}."))
    return found


def _drill(drill: MomentDrill | None) -> str:
    if drill is None:
        return "none yet: /mlflow drill --at random"
    how = f"restored in {duration(drill.seconds)}" if drill.well else f"FAILED: {drill.problem}"
    return f"{archive.moment_of(drill.moment)}, {how}"
