"""Maintenance windows."""

from __future__ import annotations

import click

from commands.grammar import Duration, change, group
from workers.maintenance import EndMaintenance, StartMaintenance


@group("maintenance")
def maintenance() -> None:
    """Announce maintenance, and end it."""


@change("start", of=maintenance, examples=('maintenance start "moving to PostgreSQL 18" --for 2h',))
@click.argument("reason")
@click.option("--for", "seconds", type=Duration(), default="2h", show_default=True, help="After which it ends.")
def start(reason: str, seconds: float) -> StartMaintenance:
    """Pin a notice, and hold what runs by the clock, and alarms, until it ends."""
    return StartMaintenance(reason=reason, seconds=seconds)


@change("end", of=maintenance, examples=("maintenance end",))
def end() -> EndMaintenance:
    """End it now."""
    return EndMaintenance()
