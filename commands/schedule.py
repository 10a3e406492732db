"""Commands about commands: scheduled jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import change, command, group

if TYPE_CHECKING:
    from workers.operation import Operation


@command("list", examples=("schedule list",))
def _list() -> Operation:
    """Every entry, when it was last due and what came of it, and when it is due next."""
    from workers.operations.commands.schedule import ScheduleList

    return ScheduleList()


@change("pause", examples=("schedule pause digest",))
@click.argument("name")
def _pause(name: str) -> Operation:
    """Leave an entry out until it is resumed."""
    from workers.operations.commands.schedule import SchedulePause

    return SchedulePause(entry=name)


@change("resume", examples=("schedule resume digest",))
@click.argument("name")
def _resume(name: str) -> Operation:
    """Let a paused entry go on with its next time."""
    from workers.operations.commands.schedule import ScheduleResume

    return ScheduleResume(entry=name)


@command("run", examples=("schedule run backup",))
@click.argument("name")
def _run(name: str) -> Operation:
    """Do what an entry does, now, as if you had typed its command."""
    from workers.operations.commands.schedule import ScheduleRun

    return ScheduleRun(entry=name)


schedule = group("schedule", _list, _pause, _resume, _run, meaning="Scheduled jobs: see, pause, run now.")
