"""Maintenance windows: announced, and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import Duration, FreeText, change, group

if TYPE_CHECKING:
    from workers.operation import Operation


@change("start", examples=("maintenance start we're moving to PostgreSQL 18 --for 2h",))
@click.argument("reason", type=FreeText())
@click.option("--for", "seconds", type=Duration(), default="2h", show_default=True, help="After which it ends.")
def _start(reason: str, seconds: float) -> Operation:
    """Pin a notice, and hold what runs by the clock, and alarms, until it ends."""
    from workers.operations.commands.maintenance import StartMaintenance

    return StartMaintenance(reason=reason, seconds=seconds)


@change("end", examples=("maintenance end",))
def _end() -> Operation:
    """End it now."""
    from workers.operations.commands.maintenance import EndMaintenance

    return EndMaintenance()


maintenance = group("maintenance", _start, _end, meaning="Announce maintenance, and end it.")
