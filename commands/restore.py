"""Backup and recovery: recovery procedures."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from commands.grammar import NameOf, change, command, group
from commands.since import At, Since
from workers.operations.choices import OBJECTS

if TYPE_CHECKING:
    from workers.operation import Operation

_ELSEWHERE = click.option("--from-elsewhere", is_flag=True, help="Although the backup is of another MLflow.")
_SET = click.argument("set_", type=NameOf("set"), metavar="[latest|ID]", default="latest")
_FROM = click.option(
    "--from",
    "set_",
    type=NameOf("set"),
    metavar="ID",
    default="latest",
    help="The backup to take it from; else the latest.",
)
_UNSIGNED = click.option(
    "--unsigned",
    is_flag=True,
    help="For admins, with --break-glass and a backup's id: although nothing proves that it's ours.",
)


_BEFORE = click.option(
    "--before", "event", metavar="WORDS", default="", help="As it was just before what these words fit in the timeline."
)
_AT = click.option(
    "--at", type=At(), metavar="TIME", help="As it was then: 14:05 (UTC), 14:05:30, 2026-11-29T14:05Z or 10m (ago)."
)


@change(
    "database",
    examples=(
        "restore database latest --dry-run",
        "restore database 1a2b3c --as mlflow_then",
        "restore database --at 14:05:30",
        "restore database --before 'deleted experiment churn'",
    ),
)
@_SET
@_AT
@_BEFORE
@click.option("--exclusive", is_flag=True, help="With --at: without what was committed at that very moment.")
@click.option("--as", "beside", metavar="NAME", default="", help="Only beside the live one, to look into it.")
@_ELSEWHERE
@_UNSIGNED
def _database(  # noqa: PLR0913 - one for each option
    set_: str, at: datetime | None, event: str, beside: str, *, exclusive: bool, from_elsewhere: bool, unsigned: bool
) -> Operation:
    """Restore a backup, or with --at any moment (recovery.point_in_time), beside the live database, compare it, and
    switch in milliseconds; the old one stays, and restore undo switches back. Needs approval.
    """
    from workers.operations.restore.database import RestoreDatabase

    _refuse_two(set_, at, event)
    if exclusive and not at:
        raise click.UsageError("--exclusive goes with --at")
    return RestoreDatabase(
        set=set_,
        beside=beside,
        from_elsewhere=from_elsewhere,
        unsigned=unsigned,
        at=at,
        exclusive=exclusive,
        event=event,
    )


def _refuse_two(set_: str, at: datetime | None, event: str) -> None:
    if (set_ != "latest") + (at is not None) + bool(event) > 1:
        raise click.UsageError("give one of a backup, --at and --before")


@change("auth", examples=("restore auth latest --dry-run", "restore auth 1a2b3c"))
@_SET
@click.option("--as", "beside", metavar="NAME", default="", help="Only beside the live one, to look into it.")
@_ELSEWHERE
@_UNSIGNED
def _auth(set_: str, beside: str, *, from_elsewhere: bool, unsigned: bool) -> Operation:
    """The same for basic-auth's own database: MLflow's users and what they may. Needs approval."""
    from workers.operations.restore.database import RestoreDatabase

    return RestoreDatabase(set=set_, beside=beside, from_elsewhere=from_elsewhere, unsigned=unsigned, auth=True)


@change("undo", examples=("restore undo", "restore undo --auth"))
@click.option("--auth", "users", is_flag=True, help="Basic-auth's database instead of MLflow's.")
def _undo(*, users: bool) -> Operation:
    """Switch back to the database that the last restore put aside. Needs approval."""
    from workers.operations.restore.undo import RestoreUndo

    return RestoreUndo(auth=users)


@change(
    "artifacts",
    examples=(
        "restore artifacts --dry-run",
        "restore artifacts 1a2b3c --experiment churn",
        "restore artifacts latest --prefix 12/ --exact",
        "restore artifacts --at 14:05 --experiment churn",
    ),
)
@_SET
@_AT
@_BEFORE
@click.option("--prefix", metavar="PREFIX", default="", help="Only keys that begin so.")
@click.option(
    "--experiment", type=NameOf("experiment"), metavar="NAME", default="", help="Only what belongs to that experiment."
)
@click.option("--run", "run_id", metavar="RUN", default="", help="Only what belongs to that run.")
@click.option("--exact", is_flag=True, help="Also remove what was not there; the bucket must keep versions.")
@_ELSEWHERE
@_UNSIGNED
def _artifacts(  # noqa: PLR0913, PLR0917 - one for each option
    set_: str,
    at: datetime | None,
    event: str,
    prefix: str,
    experiment: str,
    run_id: str,
    *,
    exact: bool,
    from_elsewhere: bool,
    unsigned: bool,
) -> Operation:
    """Add the artifacts that are missing and put back those that differ, each compared by its checksum; what the backup
    does not hold stays. With --at, by the versions that the bucket keeps instead of a backup. Needs approval.
    """
    from workers.operations.restore.artifacts import RestoreArtifacts

    _refuse_two(set_, at, event)
    return RestoreArtifacts(
        set=set_,
        prefix=prefix,
        experiment=experiment,
        run_id=run_id,
        exact=exact,
        from_elsewhere=from_elsewhere,
        unsigned=unsigned,
        at=at,
        event=event,
    )


@change("config", examples=("restore config --dry-run", "restore config 1a2b3c --only deployment,configmap"))
@_SET
@click.option("--only", metavar="KIND,…", default="", help=f"Only these: {', '.join(OBJECTS)}.")
@_ELSEWHERE
@_UNSIGNED
def _config(set_: str, only: str, *, from_elsewhere: bool, unsigned: bool) -> Operation:
    """Put MLflow's objects in the cluster back as a backup holds them, the server asked first, and watch the pods;
    what was there is backed up before, and put back if they don't come up. Needs approval.
    """
    kinds = tuple(each.strip().lower() for each in only.split(",") if each.strip())
    for kind in kinds:
        if kind not in OBJECTS:
            raise click.UsageError(f"there is no kind {kind!r} in a backup; there are {', '.join(OBJECTS)}")

    from workers.operations.restore.configuration import RestoreConfiguration

    return RestoreConfiguration(set=set_, only=kinds, from_elsewhere=from_elsewhere, unsigned=unsigned)


@change("all", examples=("restore all --dry-run", "restore all 1a2b3c"))
@_SET
@_ELSEWHERE
@_UNSIGNED
def _all(set_: str, *, from_elsewhere: bool, unsigned: bool) -> Operation:
    """All that a backup holds: artifacts, then the database, then the configuration, each as its own command does it.
    Needs two approvals.
    """
    from workers.operations.restore.all import RestoreAll

    return RestoreAll(set=set_, from_elsewhere=from_elsewhere, unsigned=unsigned)


@change("run", examples=("restore run 0a1b2c3d4e5f60718293a4b5c6d7e8f9", "restore run 0a1b2c3d --dry-run"))
@click.argument("run_id", metavar="RUN")
@_FROM
@_UNSIGNED
@_AT
@_BEFORE
def _run(run_id: str, set_: str, at: datetime | None, event: str, *, unsigned: bool) -> Operation:
    """Bring one deleted run back; if it was purged, its rows and artifacts from a backup, or with --at as it
    was then, its artifacts by the versions that their bucket keeps. Needs approval.
    """
    from workers.operations.restore.run_or_experiment import RestoreRun

    _refuse_two(set_, at, event)
    return RestoreRun(run_id=run_id, set=set_, at=at, event=event, unsigned=unsigned)


@change("experiment", examples=("restore experiment churn --dry-run", "restore experiment 12 --from 1a2b3c"))
@click.argument("experiment", type=NameOf("experiment"), metavar="NAME|ID")
@_FROM
@_UNSIGNED
@_AT
@_BEFORE
def _experiment(experiment: str, set_: str, at: datetime | None, event: str, *, unsigned: bool) -> Operation:
    """Bring one deleted experiment back with its runs; if it was purged, from a backup, or with --at as it was then,
    its artifacts by the versions that their bucket keeps. Needs approval.
    """
    from workers.operations.restore.run_or_experiment import RestoreExperiment

    _refuse_two(set_, at, event)
    return RestoreExperiment(experiment=experiment, set=set_, at=at, event=event, unsigned=unsigned)


@change("repair", examples=("restore repair", "restore repair --dry-run"))
def _repair() -> Operation:
    """Let MLflow back in where a restore that was cut off keeps it out: open its database, let PgBouncer's clients go
    on, give it its pods back.
    """
    from workers.operations.restore.repair import RestoreRepair

    return RestoreRepair()


@change("prune", examples=("restore prune --dry-run", "restore prune --all"))
@click.option("--all", "everything", is_flag=True, help="Also those that were put aside a short time ago.")
def _prune(*, everything: bool) -> Operation:
    """Remove databases that restores have put aside or restored for nothing more than a week ago
    (restore.keep_aside_days), and what drills and restores that were cut off have left. Needs approval.
    """
    from workers.operations.restore.prune import RestorePrune

    return RestorePrune(everything=everything)


@change("drill", examples=("drill", "drill 1a2b3c", "drill --at random"))
@_SET
@_UNSIGNED
@click.option("--at", type=At(others=("random",)), metavar="random|TIME", help="A moment instead of a backup.")
def drill(set_: str, at: datetime | str | None, *, unsigned: bool) -> Operation:
    """Restore a backup, or with --at a moment, out of sight, check it, throw it away, and note how long that took."""
    if at:
        from workers.operations.restore.drill_moment import DrillMoment

        return DrillMoment(at=at if isinstance(at, datetime) else None)
    from workers.operations.restore.drill import Drill

    return Drill(set=set_, unsigned=unsigned)


@change("recover", examples=("recover --dry-run", "recover", "recover --from 1a2b3c", "recover --at 14:05:09"))
@click.option(
    "--from", "set_", type=NameOf("set"), metavar="ID", default="latest", help="Of that backup; else the latest."
)
@_ELSEWHERE
@_UNSIGNED
@_AT
def recover(set_: str, at: datetime | None, *, from_elsewhere: bool, unsigned: bool) -> Operation:
    """Everything is gone: bring MLflow back from a backup, from its role in PostgreSQL to a run that is logged; its
    database from WAL where that is newer, or with --at. What is there is not replaced; asked again, it goes on where it
    stopped. Needs two approvals.
    """
    from workers.operations.restore.recover import Recover

    _refuse_two(set_, at, "")
    return Recover(set=set_, from_elsewhere=from_elsewhere, unsigned=unsigned, at=at)


@command("timeline", examples=("timeline", "timeline --since 1d"))
@click.option("--since", "since_seconds", type=Since(), default="2h", metavar="TIME", help="2h by default.")
def timeline(since_seconds: float) -> Operation:
    """What happened to MLflow's data: experiments and runs made and deleted, what was changed from here, and the moment
    just before each, for restore … --at.
    """
    from workers.operations.restore.timeline import Timeline

    return Timeline(since_seconds=since_seconds)


restore = group(
    "restore",
    _database,
    *(_auth, _artifacts, _config, _all, _run, _experiment, _undo, _repair, _prune),
    meaning="Bring back what a backup holds.",
)
