"""Daily operations: logs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

import click

from commands.grammar import Duration, NameOf, OneOf, change, command, group_that_acts
from commands.since import Since
from workers.operations.choices import MOST_LINES, USUAL_LINES, Level

if TYPE_CHECKING:
    from workers.operation import Operation

_LEVELS = [level for level in get_args(Level) if level]
_POD = click.option(
    "--pod", type=NameOf("pod"), default="", metavar="NAME", help="The name, or a part of it that only one pod has."
)


@command(
    "show",
    examples=(
        "logs",
        "logs --since 1h --level warning",
        "logs --grep 'POST .*runs/search' --tail 50",
        "logs --pod x7k2p --previous",
        "logs --follow 60s --level error",
    ),
)
@_POD
@click.option("--container", default="", metavar="NAME", help="By default all of the pod's.")
@click.option(
    "--tail",
    type=click.IntRange(1, MOST_LINES),
    default=USUAL_LINES,
    metavar="N",
    help=f"The newest so many lines; {USUAL_LINES} by default.",
)
@click.option("--since", type=Since(), default=None, metavar="TIME", help="90s, 1h, yesterday, 2026-11-23T15:00 (UTC).")
@click.option("--grep", default="", metavar="RE", help="A regular expression; a capital letter makes case count.")
@click.option("--level", type=OneOf(_LEVELS), default=None, help="This level and worse.")
@click.option("--previous", is_flag=True, help="Of the containers before their last restart.")
@click.option("--follow", type=Duration(), default=None, metavar="TIME", help="Show what comes for so long; 60s.")
def _show(  # noqa: PLR0913, PLR0917 - click gives one for each option
    pod: str,
    container: str,
    tail: int,
    since: float | None,
    grep: str,
    level: Level | None,
    follow: float | None,
    *,
    previous: bool,
) -> Operation:
    """Show the newest lines of all pods in the order of their times, errors grouped; or with --follow what comes."""
    from workers.operations.logs.follow import MOST_SECONDS, LogsFollow
    from workers.operations.logs.show import Logs

    if follow is not None:
        if previous or since is not None:
            raise click.UsageError("--follow shows what is new: give it without --previous and --since.")
        if follow > MOST_SECONDS:
            message = f"at most {MOST_SECONDS // 60} minutes, for it keeps a worker busy."
            raise click.BadParameter(message, param_hint="--follow")
        return LogsFollow(pod=pod, container=container, seconds=follow, grep=grep, level=level or "")
    return Logs(
        pod=pod,
        container=container,
        tail=tail,
        since_seconds=None if since is None else math.ceil(since),
        grep=grep,
        level=level or "",
        previous=previous,
    )


@command("size", examples=("logs size", "logs size --pod x7k2p"))
@_POD
def _size(pod: str) -> Operation:
    """Measure what logs and temporary files take in each container, and say what to do if that's large."""
    from workers.operations.logs.size import LogsSize

    return LogsSize(pod=pod)


@change("archive", examples=("logs archive",))
def _archive() -> Operation:
    """Write the logs of all pods and containers, and of those before a restart, to the backup bucket,
    without secrets, compressed and encrypted.
    """
    from workers.operations.logs.archive import LogsArchive

    return LogsArchive()


logs = group_that_acts(
    "logs", _show, _size, _archive, takes=(), meaning="The pods' logs: shown, followed, measured, archived."
)
