"""Backup and recovery: recovery procedures."""

from __future__ import annotations

import click

from commands.grammar import change, group
from workers.restore.database import RestoreDatabase, RestoreUndo


@change("database", examples=("restore database latest --dry-run", "restore database 1a2b3c --as mlflow_then"))
@click.argument("set_", metavar="[latest|ID]", default="latest")
@click.option("--as", "beside", metavar="NAME", default="", help="Only beside the live one, to look into it.")
def _database(set_: str, beside: str) -> RestoreDatabase:
    """Restore a backup beside the live database, compare it, and switch in milliseconds; the old one stays, and restore
    undo switches back. Needs approval.
    """
    return RestoreDatabase(set=set_, beside=beside)


@change("undo", examples=("restore undo",))
def _undo() -> RestoreUndo:
    """Switch back to the database that the last restore put aside. Needs approval."""
    return RestoreUndo()


restore = group("restore", _database, _undo, meaning="Bring back what a backup holds.")
