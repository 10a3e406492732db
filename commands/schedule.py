"""Commands about commands: what runs by the clock."""

from __future__ import annotations

import click

from commands.grammar import change, command, group
from workers.operations.commands.schedule import ScheduleList, SchedulePause, ScheduleResume, ScheduleRun


@command("list", examples=("schedule list",))
def _list() -> ScheduleList:
    """Every entry, when it was last due and what came of it, and when it is due next."""
    return ScheduleList()


@change("pause", examples=("schedule pause digest",))
@click.argument("name")
def _pause(name: str) -> SchedulePause:
    """Leave an entry out until it is resumed."""
    return SchedulePause(entry=name)


@change("resume", examples=("schedule resume digest",))
@click.argument("name")
def _resume(name: str) -> ScheduleResume:
    """Let a paused entry go on with its next time."""
    return ScheduleResume(entry=name)


@command("run", examples=("schedule run backup",))
@click.argument("name")
def _run(name: str) -> ScheduleRun:
    """Do what an entry does, now, as if you had typed its command."""
    return ScheduleRun(entry=name)


schedule = group("schedule", _list, _pause, _resume, _run, meaning="What runs by the clock: see, pause, run now.")
