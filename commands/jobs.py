"""Commands about commands: what runs, and stopping it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import Duration, command, group_that_acts

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


@command("show", examples=("audit", "audit --since 24h --by @omar", "audit --command restore", "audit --since 1y"))
@click.option("--since", type=Duration(), default="7d", show_default=True, help="How far back: 30m, 24h, 7d, 1y.")
@click.option("--by", metavar="USER", default="", help="Only what this person asked for or decided.")
@click.option("--command", metavar="WORDS", default="", help="Only commands that begin so.")
def _audit(since: float, by: str, command: str) -> Operation:
    """Who asked for what, who decided, and what came of it. What isn't in Redis any more is read from the export."""
    from workers.operations.audit.trail import Audit

    return Audit(since_seconds=since, by=by.removeprefix("@"), command=command)


@command("verify", examples=("audit verify", "audit verify --since 30d"))
@click.option("--since", type=Duration(), default=None, help="Only what was exported since then; all of it by default.")
def _verify(since: float | None) -> Operation:
    """Whether anybody has changed the record: each seal is made anew, and Redis compared with the export. What was cut
    off, rewritten, deleted or set back is named.
    """
    from workers.operations.audit.verify import AuditVerify

    return AuditVerify(since_seconds=since)


@command("export", examples=("audit export",))
def _export() -> Operation:
    """Write what is new to the backups' bucket, as JSON Lines, and remove from Redis what is there and old."""
    from workers.operations.audit.export import AuditExport

    return AuditExport()


audit = group_that_acts(
    "audit", _audit, _verify, _export, takes=(), meaning="Who did what, and whether that record is as it was written."
)
