"""VACUUM ANALYZE, and VACUUM FULL, which gives space back to the disk and keeps everybody out meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field, PrivateAttr

from workers.errors import OperatorError
from workers.operation import Cancelled, Change, Operation, Plan, Progress, Risk
from workers.report import Report, Status, Table
from workers.wording import count, nearest, size, thousands

if TYPE_CHECKING:
    from workers.settings import Ops
    from workers.systems import Systems
    from workers.systems.postgres.maintenance import HowFar, TableFigures

BYTES_A_SECOND: Final = 50_000_000
"""What a small server vacuums; for the estimate only."""

TableName = Annotated[str, Field(max_length=63, description="PostgreSQL's longest name")]


class DatabaseVacuum(Operation):
    """Vacuum and analyze one table, or all that are our role's. full: rewrite them."""

    name: ClassVar[str] = "db-vacuum"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("database-care",)
    timeout_seconds: ClassVar[int] = 6 * 3600

    table: TableName = ""
    full: bool = False

    _chosen: list[TableFigures] | None = PrivateAttr(None)

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return f"Vacuum {'full ' if self.full else ''}{self.table or 'the database'}"

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - by what it does
        """FULL, because MLflow stands still for as long as it takes."""
        return self.full

    def plan(self, systems: Systems) -> Plan:
        """Which tables, and what that means. Raises OperatorError for a table that is not there or not ours."""
        tables = self._tables(systems)
        self._chosen = tables
        whole = sum(each.total_bytes for each in tables)
        verb = "VACUUM (FULL, ANALYZE)" if self.full else "VACUUM (ANALYZE)"
        changes = (
            Change(
                what="the space of dead rows",
                before="held by the table",
                after="given back to the disk" if self.full else "free for new rows of the same table",
            ),
        )
        return Plan(
            title=self.title,
            summary=f"{verb} of {count(len(tables), 'table')}, {size(whole)} now",
            steps=(f"{verb} on {', '.join(each.name for each in tables)}, one after the other", "Read the sizes again"),
            changes=changes,
            warnings=_warnings(tables) if self.full else (),
            undo="There is nothing to undo: no row is changed." if self.full else "",
            estimate_seconds=float(max(1, whole // BYTES_A_SECOND)),
            facts={"tables": [each.name for each in tables], "full": self.full},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """One table after the other; a refusal of one does not keep the others from it."""
        before = self._chosen or self._tables(systems)
        done: list[str] = []
        failed: dict[str, OperatorError] = {}
        for number, table in enumerate(before, 1):
            progress.step(
                f"Vacuuming {table.name} ({number} of {len(before)}, {size(table.total_bytes)})",
                of="one after the other",
            )
            try:
                progress.checkpoint()
                systems.maintenance.vacuum(table.name, full=self.full, how_far=_told(progress))
            except Cancelled:
                left = f"{count(len(done), 'table')} of {len(before)} are vacuumed; {table.name} is as it was."
                raise Cancelled(left) from None
            except OperatorError as error:
                failed[table.name] = error
            else:
                done.append(table.name)
        progress.step("Reading the sizes again", of="Read the sizes")
        return self._report(before, {each.name: each for each in systems.maintenance.tables()}, failed)

    def aftermath(self, systems: Systems, planned: Plan) -> str:  # noqa: ARG002 - PostgreSQL leaves nothing half done
        """What a killed run has left."""
        return "Each table is vacuumed or as it was; asked for again, it does no harm."

    def _report(
        self, before: list[TableFigures], after: dict[str, TableFigures], failed: dict[str, OperatorError]
    ) -> Report:
        rows = tuple(
            (
                old.name,
                size(old.total_bytes),
                size(new.total_bytes),
                thousands(old.dead_rows),
                thousands(new.dead_rows),
                "failed" if old.name in failed else "done",
            )
            for old in before
            if (new := after.get(old.name)) is not None
        )
        won = sum(old.total_bytes - after[old.name].total_bytes for old in before if old.name in after)
        columns = ("table", "size before", "after", "dead before", "dead after", "result")
        table = Table(title="Tables", columns=columns, rows=rows, numeric=columns[1:5])
        told = count(len(before) - len(failed), "table")
        summary = f"{told} vacuumed and analyzed; {size(max(0, won))} given back to the disk."
        if failed:
            name, error = next(iter(failed.items()))
            summary = f"{count(len(failed), 'table')} of {len(before)} failed: {name}: {error}"
        status = Status.OK if not failed else Status.FAIL if len(failed) == len(before) else Status.WARN
        return Report(title=self.title, status=status, summary=summary, sections=(table,), hints=("db tables",))

    def _tables(self, systems: Systems) -> list[TableFigures]:
        tables = systems.maintenance.tables()
        if not self.table:
            found = [each for each in tables if each.ours]
            if not found:
                raise OperatorError(
                    f"Our role owns no table of {systems.database.name}.", "Check MLFLOW_OPS_DATABASE_URL."
                )
            return sorted(found, key=lambda each: each.name)
        one = next((each for each in tables if each.name == self.table), None)
        if one is None:
            near = nearest(self.table, [each.name for each in tables], alike=0.5)
            raise OperatorError(
                f"{systems.database.name} has no table “{self.table}”.",
                f"Did you mean “{near}”?" if near else "db tables lists them.",
            )
        if not one.ours:
            raise OperatorError(f"The table {one.name} is not our role's.", "Check MLFLOW_OPS_DATABASE_URL.")
        return [one]


def _warnings(tables: list[TableFigures]) -> tuple[str, ...]:
    largest = max(tables, key=lambda each: each.total_bytes)
    return (
        (
            "While a table is rewritten, it can't be read or written: MLflow's requests wait, and may fail. Plan it "
            "for a quiet hour."
        ),
        (
            f"The rewriting needs as much free disk again as a table has: up to {size(largest.total_bytes)} "
            f"({largest.name})."
        ),
    )


def _told(progress: Progress) -> HowFar:
    def how_far(_phase: str, done: int, total: int) -> None:
        progress.checkpoint()
        if total:
            progress.advance(done, total, "blocks")

    return how_far
