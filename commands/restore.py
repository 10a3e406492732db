"""Backup and recovery: recovery procedures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import change, group
from workers.operations.choices import OBJECTS

if TYPE_CHECKING:
    from workers.operation import Operation

_ELSEWHERE = click.option("--from-elsewhere", is_flag=True, help="Although the backup is of another MLflow.")
_UNSIGNED = click.option(
    "--unsigned", is_flag=True, help="For admins, with --break-glass: although the backup isn't signed."
)


@change("database", examples=("restore database latest --dry-run", "restore database 1a2b3c --as mlflow_then"))
@click.argument("set_", metavar="[latest|ID]", default="latest")
@click.option("--as", "beside", metavar="NAME", default="", help="Only beside the live one, to look into it.")
@_ELSEWHERE
@_UNSIGNED
def _database(set_: str, beside: str, *, from_elsewhere: bool, unsigned: bool) -> Operation:
    """Restore a backup beside the live database, compare it, and switch in milliseconds; the old one stays, and restore
    undo switches back. Needs approval.
    """
    from workers.operations.restore.database import RestoreDatabase

    return RestoreDatabase(set=set_, beside=beside, from_elsewhere=from_elsewhere, unsigned=unsigned)


@change("auth", examples=("restore auth latest --dry-run", "restore auth 1a2b3c"))
@click.argument("set_", metavar="[latest|ID]", default="latest")
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
    ),
)
@click.argument("set_", metavar="[latest|ID]", default="latest")
@click.option("--prefix", metavar="PREFIX", default="", help="Only keys that begin so.")
@click.option("--experiment", metavar="NAME", default="", help="Only what belongs to that experiment.")
@click.option("--run", "run_id", metavar="RUN", default="", help="Only what belongs to that run.")
@click.option("--exact", is_flag=True, help="Also remove what the backup does not hold; the bucket must keep versions.")
@_ELSEWHERE
@_UNSIGNED
def _artifacts(  # noqa: PLR0913 - one for each option
    set_: str, prefix: str, experiment: str, run_id: str, *, exact: bool, from_elsewhere: bool, unsigned: bool
) -> Operation:
    """Add the artifacts that are missing and put back those that differ, each compared by its checksum; what the backup
    does not hold stays. Needs approval.
    """
    from workers.operations.restore.artifacts import RestoreArtifacts

    return RestoreArtifacts(
        set=set_,
        prefix=prefix,
        experiment=experiment,
        run_id=run_id,
        exact=exact,
        from_elsewhere=from_elsewhere,
        unsigned=unsigned,
    )


@change("config", examples=("restore config --dry-run", "restore config 1a2b3c --only deployment,configmap"))
@click.argument("set_", metavar="[latest|ID]", default="latest")
@click.option("--only", metavar="KIND,…", default="", help=f"Only these: {', '.join(OBJECTS)}.")
@_ELSEWHERE
@_UNSIGNED
def _config(set_: str, only: str, *, from_elsewhere: bool, unsigned: bool) -> Operation:
    """Put MLflow's objects in the cluster back as a backup holds them, the server asked first, and watch the pods;
    what was there is backed up before, and put back where they do not come up. Needs approval.
    """
    kinds = tuple(each.strip().lower() for each in only.split(",") if each.strip())
    for kind in kinds:
        if kind not in OBJECTS:
            raise click.UsageError(f"there is no kind {kind!r} in a backup; there are {', '.join(OBJECTS)}")

    from workers.operations.restore.configuration import RestoreConfiguration

    return RestoreConfiguration(set=set_, only=kinds, from_elsewhere=from_elsewhere, unsigned=unsigned)


@change("all", examples=("restore all --dry-run", "restore all 1a2b3c"))
@click.argument("set_", metavar="[latest|ID]", default="latest")
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
@click.option("--from", "set_", metavar="ID", default="latest", help="The backup to take it from; else the latest.")
@_UNSIGNED
def _run(run_id: str, set_: str, *, unsigned: bool) -> Operation:
    """Bring one deleted run back; where it was purged, its rows and artifacts from a backup. Needs approval."""
    from workers.operations.restore.run_or_experiment import RestoreRun

    return RestoreRun(run_id=run_id, set=set_, unsigned=unsigned)


@change("experiment", examples=("restore experiment churn --dry-run", "restore experiment 12 --from 1a2b3c"))
@click.argument("experiment", metavar="NAME|ID")
@click.option("--from", "set_", metavar="ID", default="latest", help="The backup to take it from; else the latest.")
@_UNSIGNED
def _experiment(experiment: str, set_: str, *, unsigned: bool) -> Operation:
    """Bring one deleted experiment back with its runs; where it was purged, from a backup. Needs approval."""
    from workers.operations.restore.run_or_experiment import RestoreExperiment

    return RestoreExperiment(experiment=experiment, set=set_, unsigned=unsigned)


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


@change("drill", examples=("drill", "drill 1a2b3c", "drill --dry-run"))
@click.argument("set_", metavar="[latest|ID]", default="latest")
@_UNSIGNED
def drill(set_: str, *, unsigned: bool) -> Operation:
    """Restore a backup where nobody sees it, check it, throw it away, and note how long that took."""
    from workers.operations.restore.drill import Drill

    return Drill(set=set_, unsigned=unsigned)


@change("recover", examples=("recover --dry-run", "recover", "recover --from 1a2b3c"))
@click.option("--from", "set_", metavar="ID", default="latest", help="Of that backup; else the latest.")
@_ELSEWHERE
@_UNSIGNED
def recover(set_: str, *, from_elsewhere: bool, unsigned: bool) -> Operation:
    """Everything is gone: bring MLflow back from a backup, from its role in PostgreSQL to a run that is logged. What is
    there is not replaced; asked again, it goes on where it stopped. Needs two approvals.
    """
    from workers.operations.restore.recover import Recover

    return Recover(set=set_, from_elsewhere=from_elsewhere, unsigned=unsigned)


restore = group(
    "restore",
    _database,
    *(_auth, _artifacts, _config, _all, _run, _experiment, _undo, _repair, _prune),
    meaning="Bring back what a backup holds.",
)
