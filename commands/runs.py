"""Common tasks: runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from commands.experiments import pairs
from commands.grammar import FreePairs, FreeText, NameOf, OneOf, change, command, group
from commands.since import Since
from workers.operations.choices import MOST_RUNS

if TYPE_CHECKING:
    from workers.operation import Operation

_RUN = click.argument("run", metavar="RUN")
_KEPT_SECONDS = 30 * 86_400.0


def _exceptions(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str | None]:
    bare: dict[str, str | None] = {word: None for word in given if "=" not in word}
    if "" in bare:
        raise click.BadParameter("a tag must have a name.", context, parameter)
    return bare | pairs(context, parameter, tuple(word for word in given if "=" in word))


def _names(_context: click.Context, _parameter: click.Parameter, given: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))


@command(
    "search",
    examples=(
        "runs search load-forecast-eu",
        "runs search load-forecast-eu metrics.rmse < 5 and params.model = 'lightgbm'",
        'runs search load-forecast-eu metrics.rmse < 5 --order-by "metrics.rmse ASC"',
    ),
)
@click.argument("experiment", type=NameOf("experiment"), metavar="EXPERIMENT")
@click.argument("filter_string", type=FreeText(), default="", metavar="[FILTER]")
@click.option("--order-by", "order_by", multiple=True, metavar="COLUMN [ASC|DESC]", help="By default the newest first.")
@click.option(
    "--max", "most", type=click.IntRange(1, MOST_RUNS), default=20, metavar="N", help="How many; 20 by default."
)
def _search(experiment: str, filter_string: str, order_by: tuple[str, ...], most: int) -> Operation:
    """List the runs of an experiment that a filter finds, in MLflow's filter language."""
    from workers.operations.runs.show import RunsSearch

    return RunsSearch(experiment=experiment, filter=filter_string, order_by=order_by, most=most)


@command("show", examples=("runs show 0b41f7d2", "runs show baseline --experiment load-forecast-eu"))
@_RUN
@click.option("--experiment", default="", metavar="NAME|ID", help="Where several experiments have a run of that name.")
def _show(run: str, experiment: str) -> Operation:
    """Show one run: its metrics, parameters and tags. RUN is its id, the beginning of it, or its name."""
    from workers.operations.runs.show import RunShow

    return RunShow(run_id=run, experiment=experiment)


@command(
    "compare",
    examples=("runs compare load-forecast-eu --metrics accuracy,rmse", "runs compare 0b41f7d2 9c02aa15 --params"),
)
@click.argument("what", nargs=-1, type=NameOf("experiment"), required=True, metavar="EXPERIMENT|RUN RUN…")
@click.option("--metrics", callback=_names, default="", metavar="A,B", help="These only, the first decides the order.")
@click.option("--params", is_flag=True, help="Show more of the parameters.")
@click.option("--higher", is_flag=True, help="Higher is better, in every metric.")
@click.option("--lower", is_flag=True, help="Lower is better, in every metric.")
def _compare(what: tuple[str, ...], metrics: tuple[str, ...], *, params: bool, higher: bool, lower: bool) -> Operation:
    """Show what differs between the runs of an experiment, or between some runs, with the best of each metric marked;
    the whole as a CSV file. Whether higher or lower is better follows from a metric's name, or from --higher, --lower.
    """
    if higher and lower:
        raise click.UsageError("Give one of --higher and --lower.")
    better = "higher" if higher else "lower" if lower else ""

    from workers.operations.runs.compare import RunsCompare

    return RunsCompare(what=what, metrics=metrics, params=params, better=better)


@change("tag", examples=("runs tag 0b41f7d2 reviewed=yes", "runs tag 0b41f7d2 note=don't delete it --dry-run"))
@_RUN
@click.argument("tags", type=FreePairs(), metavar="K=V…")
def _tag(run: str, tags: dict[str, str]) -> Operation:
    """Set tags of a run."""
    from workers.operations.runs.tags import RunTag

    return RunTag(run_id=run, tags=tags)


@change("untag", examples=("runs untag 0b41f7d2 reviewed",))
@_RUN
@click.argument("keys", nargs=-1, required=True, metavar="K…")
def _untag(run: str, keys: tuple[str, ...]) -> Operation:
    """Remove tags of a run."""
    from workers.operations.runs.tags import RunUntag

    return RunUntag(run_id=run, keys=keys)


@change("param", examples=("runs param 0b41f7d2 dataset=2026-08",))
@_RUN
@click.argument("pair", type=FreePairs(), metavar="K=V")
def _param(run: str, pair: dict[str, str]) -> Operation:
    """Log a parameter that a run does not have; MLflow never changes one that it has."""
    if len(pair) > 1:
        raise click.UsageError(f"Log one parameter at a time: {', '.join(pair)} are {len(pair)}.")
    ((key, value),) = pair.items()

    from workers.operations.runs.tags import RunParam

    return RunParam(run_id=run, key=key, value=value)


@change(
    "archive",
    examples=(
        "runs archive --older-than 90d --dry-run",
        "runs archive --older-than 90d --experiment load-forecast-eu --except-tag keep=true --status FINISHED",
    ),
)
@click.option("--older-than", "seconds", type=Since(), required=True, metavar="AGE", help="90d, 12w; whole days.")
@click.option(
    "--experiment", type=NameOf("experiment"), default="", metavar="NAME|ID", help="By default all active ones."
)
@click.option("--except-tag", "except_tags", multiple=True, callback=_exceptions, metavar="K[=V]", help="These stay.")
@click.option("--status", "statuses", multiple=True, type=OneOf(["FINISHED", "FAILED", "KILLED"]))
def _archive(
    seconds: float, experiment: str, except_tags: dict[str, str | None], statuses: tuple[str, ...]
) -> Operation:
    """Archive old runs: deleted as MLflow does it, so that runs unarchive brings exactly these back. Runs that are
    running, or that a registered model comes from, stay. Needs approval.
    """
    before = (datetime.now(UTC) - timedelta(seconds=seconds)).date()

    from workers.operations.runs.archive import RunsArchive

    return RunsArchive.model_validate(
        {"before": before, "experiment": experiment, "except_tags": except_tags, "statuses": statuses}
    )


@change("unarchive", examples=("runs unarchive 260826-3fa0c1", "runs unarchive --operation 1a2b3c4d5e"))
@click.argument("mark", metavar="[MARK]", default="")
@click.option("--operation", default="", metavar="ID", help="Of the command that has archived them: jobs shows it.")
def _unarchive(mark: str, operation: str) -> Operation:
    """Bring back the runs that one archiving has taken; its thread names the mark. Needs approval."""
    if bool(mark) == bool(operation):
        raise click.UsageError("Give the mark of an archiving, or --operation with the id of its command.")

    from workers.operations.runs.archive import RunsUnarchive

    return RunsUnarchive(mark=(mark or operation).strip().lower())


@change(
    "purge",
    examples=(
        "runs purge --older-than 30d --dry-run",
        "runs purge --experiment load-forecast-eu",
        "runs purge --run 0b41f7d2",
    ),
)
@click.option(
    "--older-than", "seconds", type=Since(), metavar="AGE", help="Deleted so long ago, in whole days; 30d by default."
)
@click.option(
    "--experiment", type=NameOf("experiment"), default="", metavar="NAME|ID", help="By default all active ones."
)
@click.option("--run", "runs_", multiple=True, metavar="RUN", help="These only, however long ago they were deleted.")
def _purge(seconds: float | None, experiment: str, runs_: tuple[str, ...]) -> Operation:
    """Remove runs for good that were archived or deleted, with MLflow's own gc. Nothing but a backup brings one back,
    so the newest must be within the RPO and is verified first. Runs that a registered model comes from stay. Needs
    two approvals.
    """
    if seconds is None and not runs_:
        seconds = _KEPT_SECONDS
    before = None if seconds is None else (datetime.now(UTC) - timedelta(seconds=seconds)).date()

    from workers.operations.runs.purge import RunsPurge

    return RunsPurge(before=before, experiment=experiment, runs=tuple(dict.fromkeys(runs_)))


runs = group(
    "runs",
    *(_search, _show, _compare, _tag, _untag, _param, _archive, _unarchive, _purge),
    meaning="MLflow's runs: search, show and compare them; tag them; archive old ones, bring them back or purge them.",
)
