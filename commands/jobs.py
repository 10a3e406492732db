"""Commands about commands: what runs, and stopping it."""

from __future__ import annotations

import click

from commands.grammar import command
from workers.jobs import Cancel, Jobs


@command("jobs", examples=("jobs", "jobs --last 30"))
@click.option("--last", type=click.IntRange(0, 100), default=10, show_default=True, help="How many that have ended.")
def jobs(last: int) -> Jobs:
    """What runs and what waits, and what was done lately."""
    return Jobs(last=last)


@command("cancel", examples=("cancel 1a2b3c4d5e",))
@click.argument("id_", metavar="ID")
def cancel(id_: str) -> Cancel:
    """Stop a command: one that waits at once, one that runs at its next safe point. Those who may are whoever asked for
    it, and approvers.
    """
    return Cancel(id=id_)
