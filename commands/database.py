"""Database optimization: how large it is, vacuum, indexes, and what its sessions do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import change, command, group, group_that_acts

if TYPE_CHECKING:
    from workers.operation import Operation


@command("size", examples=("db size",))
def _size() -> Operation:
    """Show how large MLflow's database is, and its largest tables."""
    from workers.operations.database.size import DatabaseSize

    return DatabaseSize()


@command("tables", examples=("db tables",))
def _tables() -> Operation:
    """List the tables: size, rows, dead rows, when each was last vacuumed and analyzed, and signs of bloat."""
    from workers.operations.database.size import DatabaseTables

    return DatabaseTables()


@change("vacuum", examples=("db vacuum", "db vacuum metrics", "db vacuum metrics --full --dry-run"))
@click.argument("table", default="", metavar="[TABLE]")
@click.option("--full", is_flag=True, help="Give the space back to the disk; the table can't be used meanwhile.")
def _vacuum(table: str, *, full: bool) -> Operation:
    """Vacuum and analyze one table, or all. With --full it needs approval."""
    from workers.operations.database.vacuum import DatabaseVacuum

    return DatabaseVacuum(table=table, full=full)


@command("show", examples=("db indexes",))
def _indexes() -> Operation:
    """Show indexes that are missing, invalid, doubled or unused, and the largest."""
    from workers.operations.database.indexes import DatabaseIndexes

    return DatabaseIndexes()


@change("create", examples=("db indexes create --dry-run", "db indexes create index_metrics_run_uuid"))
@click.argument("index", default="", metavar="[INDEX]")
def _create(index: str) -> Operation:
    """Build the indexes of MLflow's own schema that are missing, concurrently: no one has to wait."""
    from workers.operations.database.indexes import DatabaseIndexesCreate

    return DatabaseIndexesCreate(index=index)


@command("activity", examples=("db activity",))
def _activity() -> Operation:
    """Show long queries, who waits for whose lock, and connections by client."""
    from workers.operations.database.activity import DatabaseActivity

    return DatabaseActivity()


@change("cancel", examples=("db cancel 4711", "db cancel 4711 --end"))
@click.argument("pid", type=click.IntRange(1, 2**31 - 1), metavar="PID")
@click.option("--end", is_flag=True, help="End the session, not only its query.")
def _cancel(pid: int, *, end: bool) -> Operation:
    """Cancel the query of a session; db activity shows the pids. Needs approval."""
    from workers.operations.database.activity import DatabaseCancel

    return DatabaseCancel(pid=pid, end=end)


@command("stats", examples=("db stats",))
def _stats() -> Operation:
    """Show the database in one overview: size, connections, cache, transactions, age."""
    from workers.operations.database.size import DatabaseStats

    return DatabaseStats()


_index_commands = group_that_acts(
    "indexes", _indexes, _create, takes=(), meaning="Missing, invalid, doubled and unused indexes; build the missing."
)

db = group(
    "db",
    *(_size, _tables, _vacuum, _index_commands, _activity, _cancel, _stats),
    meaning="MLflow's PostgreSQL: size, tables, vacuum, indexes, activity.",
)
