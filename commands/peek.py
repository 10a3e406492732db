"""Backup and recovery: MLflow as it was, to look at."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from commands.grammar import Duration, change, command, group_that_acts
from commands.since import At

if TYPE_CHECKING:
    from workers.operation import Operation


@change("open", examples=("peek --at 14:05", "peek --at 2026-11-29T14:05Z --for 2h", "peek --at 10m --dry-run"))
@click.option(
    "--at",
    type=At(),
    metavar="TIME",
    required=True,
    help="As it was then: 14:05 (UTC), 14:05:30, 2026-11-29T14:05Z or 10m (ago).",
)
@click.option("--for", "seconds", type=Duration(), metavar="TIME", default="1h", help="1h by default, 24h at most.")
def _open(at: datetime, seconds: float) -> Operation:
    """Open MLflow as it was at a moment (recovery.point_in_time), read-only, beside the live one; it ends by itself."""
    from workers.operations.peek.peek import Peek

    if not 60 <= seconds <= 24 * 3600:  # noqa: PLR2004 - as the sentence says
        raise click.UsageError("--for takes from 1m to 24h")
    return Peek(at=at, seconds=seconds)


@command("list", examples=("peek list",))
def _list() -> Operation:
    """What is open, until when, and how to get there."""
    from workers.operations.peek.peek import PeekList

    return PeekList()


@change("stop", examples=("peek stop",))
def _stop() -> Operation:
    """Close it before its time."""
    from workers.operations.peek.peek import PeekStop

    return PeekStop()


peek = group_that_acts(
    "peek", _open, *(_list, _stop), takes=(), meaning="Open MLflow as it was at a moment, read-only, for an hour."
)
