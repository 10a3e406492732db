"""How large the database is, and which tables make it so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from workers.operation import Operation, Progress, Risk
from workers.operations.database import chart
from workers.report import Facts, Report, Status, Table, Text
from workers.wording import NOTHING, ago, count, duration, share, size, thousands

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.postgres.maintenance import ServerFigures, TableFigures

DEAD_SHARE: Final = 0.2
"""PostgreSQL's own autovacuum_vacuum_scale_factor: with more dead rows than that it should have run."""
DEAD_ROWS: Final = 1000
"""Below this a share means nothing."""
BLOAT: Final = 2.0
"""A table that is so many times as large as its rows is bloated."""
BLOAT_BYTES: Final = 8 * 1024 * 1024
"""What could be won at least, for a word to be said of it."""
CACHE_WARN: Final = 0.9
_LARGEST: Final = 5


class DatabaseSize(Operation):
    """The size of MLflow's database, of its largest tables, and of the server's other databases."""

    name: ClassVar[str] = "db-size"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask and report."""
        progress.step("Asking PostgreSQL")
        tables = systems.maintenance.tables()
        databases = systems.maintenance.databases()
        parts = systems.maintenance.parts()
        name, whole = systems.database.name, parts.whole
        facts = (
            ("database", f"{name} at {systems.database.address}"),
            ("size", size(whole)),
            ("rows' data", size(parts.rows)),
            ("indexes", size(parts.indexes)),
            ("long values and maps", size(parts.long_values)),
            ("other tables and sequences", size(parts.others)),
            ("PostgreSQL's own catalogs", size(parts.catalogs)),
            ("other files", size(parts.files)),
        )
        largest = Table(
            title="Largest tables",
            columns=("table", "size", "share"),
            rows=tuple(
                (each.name, size(each.total_bytes), share(each.total_bytes / whole if whole else 0))
                for each in tables[:_LARGEST]
            ),
            numeric=("size", "share"),
        )
        others = Table(
            title="Databases of this server",
            columns=("database", "size"),
            rows=tuple((other, size(number)) for other, number in databases),
            numeric=("size",),
        )
        return Report(
            title="Database size",
            status=Status.OK,
            summary=f"{name} has {size(whole)} in {count(len(tables), 'table')}.",
            sections=(Facts(items=facts), largest, others),
            hints=("db tables", "db stats"),
        )


class DatabaseTables(Operation):
    """Each table: size, rows, dead rows, when it was last vacuumed and analyzed, and whether it is bloated."""

    name: ClassVar[str] = "db-tables"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask and report; a table that wants care makes it a warning."""
        progress.step("Asking PostgreSQL")
        tables = systems.maintenance.tables()
        now = time.time()
        wanting = [(each, care) for each in tables if (care := wants(each))]
        rows = tuple(
            (
                each.name,
                size(each.total_bytes),
                thousands(each.rows),
                thousands(each.dead_rows),
                _last(each.vacuumed, now),
                _last(each.analyzed, now),
                wants(each) or NOTHING,
            )
            for each in tables
        )
        columns = ("table", "size", "rows", "dead", "vacuumed", "analyzed", "sign")
        shown = Table(title="Tables (rows as estimated)", columns=columns, rows=rows, numeric=columns[1:4])
        if not tables:
            return Report(title="Tables", status=Status.WARN, summary=f"{systems.database.name} has no tables.")
        if wanting:
            worst = ", ".join(f"{each.name} ({care})" for each, care in wanting[:3])
            more = f" and {len(wanting) - 3} more" if len(wanting) > 3 else ""  # noqa: PLR2004 - as many as are named
            summary = f"{count(len(wanting), 'table')} of {len(tables)} want care: {worst}{more}."
        else:
            summary = f"{count(len(tables), 'table')}; none is bloated or full of dead rows."
        return Report(
            title="Tables",
            status=Status.WARN if wanting else Status.OK,
            summary=summary,
            sections=(shown,),
            hints=(f"db vacuum {wanting[0][0].name}",) if wanting else ("db indexes", "db vacuum"),
        )


class DatabaseStats(Operation):
    """The database in one overview: size, connections, cache, transactions, dead rows, indexes, age."""

    name: ClassVar[str] = "db-stats"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask and report."""
        progress.step("Asking PostgreSQL")
        maintenance = systems.maintenance
        figures, tables, sessions = maintenance.figures(), maintenance.tables(), maintenance.sessions()
        dead, rows = sum(each.dead_rows for each in tables), sum(each.rows for each in tables)
        read = figures.hits + figures.reads
        used = len(sessions) + 1
        invalid = [each.name for each in maintenance.indexes() if not each.valid and not each.building]
        facts = (
            ("version", f"PostgreSQL {figures.version}, up for {duration(figures.up_seconds)}"),
            ("size", f"{size(figures.size_bytes)} in {count(len(tables), 'table')}"),
            ("connections", f"{used} of {figures.max_connections} ({share(used / figures.max_connections)})"),
            ("waiting for a lock", str(sum(bool(each.blocked_by) for each in sessions))),
            ("found in the cache", share(figures.hits / read) if read else NOTHING),
            ("transactions", f"{figures.commits:,} committed, {figures.rollbacks:,} rolled back"),
            ("deadlocks", thousands(figures.deadlocks)),
            ("spilled to files", size(figures.temp_bytes)),
            ("rows", f"{rows:,} and {dead:,} dead"),
            ("invalid indexes", ", ".join(invalid) or "none"),
            ("autovacuum", figures.autovacuum),
            ("oldest transaction", f"{figures.oldest_transaction_age:,} ago; autovacuum acts at {figures.freeze_at:,}"),
            ("counted since", figures.since or "the server's first start"),
        )
        thresholds = systems.settings.ops.health.thresholds
        troubles = _troubles(figures, used / figures.max_connections, thresholds.connections_warn)
        troubles += [f"the index {each} is invalid" for each in invalid]
        troubles += [f"{each.name} has a sign of neglect: {care}" for each in tables if (care := wants(each))]
        summary = f"{troubles[0][0].upper()}{troubles[0][1:]}." if troubles else "The database is well."
        more = (Text(title="Also", text="\n".join(troubles[1:])),) if len(troubles) > 1 else ()
        progress.step("Drawing it")
        return Report(
            title="Database",
            status=Status.WARN if troubles else Status.OK,
            summary=summary,
            sections=(Facts(items=facts), *more, *((chart.largest(tables),) if tables else ())),
            attachments=(chart.drawn(tables, sessions, figures.max_connections),),
            hints=("db tables", "db indexes", "db activity"),
        )


def _troubles(figures: ServerFigures, used: float, most: float) -> list[str]:
    read = figures.hits + figures.reads
    found = []
    if used >= most:
        found.append(f"{share(used)} of the connections are in use")
    if figures.autovacuum != "on":
        found.append("autovacuum is switched off")
    if figures.oldest_transaction_age > figures.freeze_at:
        found.append("the oldest transaction is older than autovacuum should let it become")
    if read > 1_000_000 and figures.hits / read < CACHE_WARN:  # noqa: PLR2004 - fewer say nothing
        found.append(f"only {share(figures.hits / read)} of what is read comes from the cache")
    return found


def wants(table: TableFigures) -> str:
    """What is wrong with a table, in two or three words; empty where nothing is."""
    if table.dead_rows >= DEAD_ROWS and table.dead_rows >= DEAD_SHARE * (table.rows + table.dead_rows):
        return f"{share(table.dead_rows / (table.rows + table.dead_rows))} dead rows"
    if table.ideal_bytes is not None:
        spare = table.heap_bytes - table.ideal_bytes
        if spare >= BLOAT_BYTES and table.heap_bytes >= BLOAT * table.ideal_bytes:
            return f"about {size(spare)} empty"
    return ""


def _last(moment: float | None, now: float) -> str:
    return "never" if moment is None else ago(now - moment)
