"""Commands about commands: what runs, and stopping it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import Duration, command

if TYPE_CHECKING:
    from workers.operation import Operation


@command("jobs", examples=("jobs", "jobs --last 30"))
@click.option("--last", type=click.IntRange(0, 100), default=10, show_default=True, help="How many that have ended.")
def jobs(last: int) -> Operation:
    """What runs and what waits, and what was done lately."""
    from workers.operations.commands.jobs import Jobs

    return Jobs(last=last)


@command("cancel", examples=("cancel 1a2b3c4d5e",))
@click.argument("id_", metavar="ID")
def cancel(id_: str) -> Operation:
    """Stop a command: a waiting one at once, a running one at its next safe point. Whoever asked for it can, and
    approvers.
    """
    from workers.operations.commands.jobs import Cancel

    return Cancel(id=id_)


@command("audit", examples=("audit", "audit --since 24h --by @omar", "audit --command restore", "audit --export"))
@click.option("--since", type=Duration(), default="7d", show_default=True, help="How far back: 30m, 24h, 7d.")
@click.option("--by", metavar="USER", default="", help="Only what this person asked for or decided.")
@click.option("--command", metavar="WORDS", default="", help="Only commands that begin so.")
@click.option("--export", is_flag=True, help="Write all of it to the backup bucket as JSON Lines instead.")
def audit(since: float, by: str, command: str, *, export: bool) -> Operation:
    """Who asked for what, who decided, and what came of it; and whether the record is as it was written."""
    from workers.operations.commands.audit_trail import Audit, AuditExport

    if export:
        return AuditExport()
    return Audit(since_seconds=since, by=by.removeprefix("@"), command=command)
