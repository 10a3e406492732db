"""Maintenance windows: announced, and ended."""

from __future__ import annotations

import click

from commands.grammar import Duration, change, group
from workers.operations.commands.maintenance import EndMaintenance, StartMaintenance


@change("start", examples=('maintenance start "moving to PostgreSQL 18" --for 2h',))
@click.argument("reason")
@click.option("--for", "seconds", type=Duration(), default="2h", show_default=True, help="After which it ends.")
def _start(reason: str, seconds: float) -> StartMaintenance:
    """Pin a notice, and hold what runs by the clock, and alarms, until it ends."""
    return StartMaintenance(reason=reason, seconds=seconds)


@change("end", examples=("maintenance end",))
def _end() -> EndMaintenance:
    """End it now."""
    return EndMaintenance()


maintenance = group("maintenance", _start, _end, meaning="Announce maintenance, and end it.")
