"""Indexes: those that MLflow's schema should have and does not, what is of no use, and the building of the missing.

An unused index costs each write and helps no read; but the statistics may have begun yesterday, and one that enforces
a constraint is used by each write without being counted. So what is of no use is told, with since when that is known,
and never dropped here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workers.errors import AlreadySo, OperatorError
from workers.operation import Cancelled, Change, Operation, Plan, Progress, Risk
from workers.operations.database import mlflow_indexes
from workers.operations.database.mlflow_indexes import IndexWanted
from workers.operations.database.vacuum import TableName
from workers.report import Report, Section, Status, Table, Text
from workers.wording import count, listed, nearest, size, thousands

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.postgres.maintenance import IndexFigures


@dataclass(frozen=True)
class Found:
    """The indexes that are there, and what is to be said of them. same: groups of two or more that do one work.

    revision: of MLflow's schema. invalid: left by a build that was broken off; building: by a session that is at it
    now. early: those that only a later revision's migration makes.
    """

    revision: str

    there: tuple[IndexFigures, ...]
    missing: tuple[IndexWanted, ...]
    invalid: tuple[IndexFigures, ...]
    building: tuple[IndexFigures, ...]
    unused: tuple[IndexFigures, ...]
    same: tuple[tuple[IndexFigures, ...], ...]
    early: tuple[IndexFigures, ...]


def look(systems: Systems) -> Found:
    """Ask PostgreSQL and compare."""
    there = tuple(systems.maintenance.indexes())
    revision = systems.database.schema_revision()
    valid = [each for each in there if each.valid]
    names = {each.name for each in valid}
    works = {(each.table, over(each), each.unique) for each in valid}
    missing = tuple(
        wanted
        for wanted in mlflow_indexes.of(revision)
        if wanted.name not in names and (wanted.table, wanted.over, wanted.unique) not in works
    )
    groups: dict[str, list[IndexFigures]] = {}
    for each in valid:
        groups.setdefault(each.same, []).append(each)
    early = mlflow_indexes.too_early(revision, [each.name for each in there])
    return Found(
        revision,
        there,
        missing,
        invalid=tuple(each for each in there if not each.valid and not each.building),
        building=tuple(each for each in there if each.building),
        unused=tuple(each for each in valid if not each.scans and not each.constraint and not each.unique),
        same=tuple(tuple(group) for group in groups.values() if len(group) > 1),
        early=tuple(each for each in there if each.name in early),
    )


def over(index: IndexFigures) -> str:
    """What an index is over, as PostgreSQL prints it behind the method; empty for another method than btree."""
    return index.definition.partition(" USING btree ")[2]


class DatabaseIndexes(Operation):
    """Indexes that are missing, invalid, duplicate or unused, and how large all are."""

    name: ClassVar[str] = "db-indexes"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask and report."""
        progress.step("Asking PostgreSQL")
        found = look(systems)
        whole = sum(each.bytes for each in found.there)
        troubles = [
            f"{count(len(items), 'index').replace('indexs', 'indexes')} {what}"
            for items, what in (
                (found.missing, "missing"),
                (found.invalid, "invalid"),
                (found.same, "there twice"),
                (found.early, "made too early"),
            )
            if items
        ]
        sizes = f"{len(found.there)} indexes, {size(whole)}"
        summary = f"{', '.join(troubles)}; {sizes}." if troubles else f"{sizes}; none is missing, invalid or doubled."
        return Report(
            title="Indexes",
            status=Status.WARN if troubles else Status.OK,
            summary=summary,
            sections=(*_sections(found, systems.maintenance.figures().since), *_of_another(found.revision)),
            hints=("db indexes create --dry-run",) if found.missing else ("db tables",),
        )


def _sections(found: Found, since: str) -> tuple[Section, ...]:
    sections: list[Section] = []
    if found.missing:
        rows = tuple((each.table, each.name, each.over) for each in found.missing)
        sections.append(
            Table(title="Missing (MLflow's schema has them)", columns=("table", "index", "over"), rows=rows)
        )
    if found.invalid:
        sections.append(_table("Invalid (a build was broken off; they cost and do not help)", found.invalid))
    if found.building:
        sections.append(_table("Being built now", found.building))
    if found.early:
        title = "Made too early: the migration that makes them stops there, unless /mlflow update drops them first"
        sections.append(_table(title, found.early))
    if found.same:
        rows = tuple(
            (group[0].table, ", ".join(each.name for each in group), size(min(each.bytes for each in group)))
            for group in found.same
        )
        sections.append(
            Table(
                title="Doing the same work",
                columns=("table", "indexes", "one costs"),
                rows=rows,
                numeric=("one costs",),
            )
        )
    if found.unused:
        largest = sorted(found.unused, key=lambda each: (-each.bytes, each.name))
        sections.append(_table(f"Never used since {since or 'the statistics began'}", tuple(largest[:10])))
        if len(largest) > 10:  # noqa: PLR2004 - as many as are shown
            sections.append(Text(text=f"and {len(largest) - 10} more that were never used."))
    by_size = sorted(found.there, key=lambda each: (-each.bytes, each.name))[:10]
    sections.append(_table("Largest", tuple(by_size)))
    return tuple(sections)


def _table(title: str, indexes: tuple[IndexFigures, ...]) -> Table:
    rows = tuple((each.table, each.name, size(each.bytes), thousands(each.scans)) for each in indexes)
    return Table(title=title, columns=("table", "index", "size", "scans"), rows=rows, numeric=("size", "scans"))


def _of_another(revision: str) -> tuple[Section, ...]:
    if mlflow_indexes.known(revision):
        return ()
    text = (
        f"The database's schema is revision {revision}, which is not known here (the newest is "
        f"{mlflow_indexes.REVISIONS[-1]}): whether one of MLflow's own indexes is missing cannot be told."
    )
    return (Text(title="A schema that is not known", text=text),)


class DatabaseIndexesCreate(Operation):
    """Build the indexes that MLflow's schema has and this database has not. index: one of them, else all."""

    name: ClassVar[str] = "db-indexes-create"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("database-care",)
    timeout_seconds: ClassVar[int] = 6 * 3600

    index: TableName = ""

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Build missing indexes"

    def plan(self, systems: Systems) -> Plan:
        """Which. Raises AlreadySo where none is missing, OperatorError for an unknown one or one being built."""
        wanted, leftovers = self._wanted(systems)
        steps = [f"Drop the invalid leftover {name}, concurrently" for name in leftovers]
        steps += [f"CREATE {'UNIQUE ' if each.unique else ''}INDEX CONCURRENTLY {each}" for each in wanted]
        return Plan(
            title=self.title,
            summary=f"{len(wanted)} missing of the {len(mlflow_indexes.of(systems.database.schema_revision()))} that "
            "MLflow's schema has",
            steps=(*steps, "Read back that each is valid"),
            changes=tuple(
                Change(
                    what=f"index {each.name}", before="invalid" if each.name in leftovers else "missing", after="valid"
                )
                for each in wanted
            ),
            warnings=(
                (
                    "Reads and writes go on, but each build reads its whole table twice, and waits "
                    "for transactions that are open."
                ),
            ),
            undo="None is needed: MLflow's schema has these indexes.",
            facts={"indexes": [str(each) for each in wanted], "invalid": list(leftovers)},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Build one after the other; an unfinished one does not stay."""
        maintenance = systems.maintenance
        wanted, leftovers = self._wanted(systems)
        for name in leftovers:
            progress.step(f"Dropping what is left of {name}", of=f"leftover {name},")
            maintenance.drop_index(name)
        built: list[str] = []
        for number, each in enumerate(wanted, 1):
            progress.step(
                f"Building {each.name} on {each.table} ({number} of {len(wanted)})", of=f"INDEX CONCURRENTLY {each}"
            )

            def how_far(_phase: str, done: int, total: int) -> None:
                progress.checkpoint()
                if total:
                    progress.advance(done, total, "blocks")

            try:
                maintenance.build(each.name, each.table, each.over, unique=each.unique, how_far=how_far)
            except Cancelled:
                maintenance.drop_index(each.name)
                left = f"{len(built)} of {len(wanted)} are built, and nothing is left of {each.name}."
                raise Cancelled(left) from None
            except OperatorError as error:
                return self._broke_off(systems, each, error, built)
            built.append(each.name)
        progress.step("Reading back", of="Read back")
        valid = {each.name for each in maintenance.indexes() if each.valid}
        lacking = [name for name in built if name not in valid]
        if lacking:
            return Report(title=self.title, status=Status.FAIL, summary=f"Not valid after building: {listed(lacking)}.")
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"Built and valid: {listed(built, most=5)}.",
            hints=("db indexes",),
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:  # noqa: ARG002 - the database tells
        """What a killed run has left."""
        found = look(systems)
        if found.building:
            return f"PostgreSQL still builds {listed(each.name for each in found.building)}; look again: db indexes."
        ours = {each.name for each in mlflow_indexes.of(found.revision)}
        half = [each.name for each in found.invalid if each.name in ours]
        left = f" Left unfinished: {listed(half)}; the next try removes it." if half else ""
        return f"{len(found.missing)} of MLflow's indexes are missing.{left}"

    def _broke_off(self, systems: Systems, at: IndexWanted, error: OperatorError, built: list[str]) -> Report:
        try:
            systems.maintenance.drop_index(at.name)
            left = "nothing is left of it"
        except OperatorError:
            left = "an invalid index may be left, which the next try removes"
        done = f" Built before: {listed(built)}." if built else ""
        summary = f"{at.name} could not be built, and {left}: {error}{done}"
        return Report(title=self.title, status=Status.FAIL, summary=summary, hints=("db indexes",))

    def _wanted(self, systems: Systems) -> tuple[list[IndexWanted], tuple[str, ...]]:
        found = look(systems)
        if not mlflow_indexes.known(found.revision):
            raise OperatorError(
                f"The database's schema is revision {found.revision}, which is not known here: nothing is built.",
                "An index that a later migration makes too would stop that migration.",
            )
        wanted = list(found.missing)
        if self.index:
            wanted = [each for each in wanted if each.name == self.index]
            if not wanted and self.index in {each.name for each in found.there if each.valid}:
                raise AlreadySo(f"The index {self.index} is there and valid.", "Nothing to do.")
            if not wanted:
                near = nearest(self.index, [each.name for each in found.missing], alike=0.5)
                raise OperatorError(
                    f"“{self.index}” is not a missing index of MLflow's schema.",
                    f"Did you mean “{near}”?" if near else "db indexes shows which are missing.",
                )
        if not wanted:
            raise AlreadySo("No index of MLflow's schema is missing.", "Nothing to do.")
        names = {each.name for each in wanted}
        busy = [each.name for each in found.building if each.name in names]
        if busy:
            raise OperatorError(f"Another session builds {listed(busy)} just now.", "Look again later: db indexes.")
        return wanted, tuple(each.name for each in found.invalid if each.name in names)
