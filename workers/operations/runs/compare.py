"""Runs side by side: what differs between them, and which is best in what.

Runs come in pages and go through a file on disk, because their columns are known at the end only: what stays in memory
is a page, the names of what was logged, and the rows that are shown, however many runs there are.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import IO, TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.experiments.finding import active as active_experiment
from workers.operations.experiments.finding import moment_ms, named
from workers.operations.runs import curves
from workers.operations.runs.csv_file import Sheet
from workers.operations.runs.finding import Run, find, search
from workers.operations.runs.show import figure
from workers.report import Facts, Report, Section, Status, Table
from workers.wording import NOTHING, count, listed, nearest

if TYPE_CHECKING:
    from workers.systems import Systems

PAGE: Final = 500
ROWS: Final = 20
BESIDE: Final = 5
"""So many runs are shown as columns; more are shown as rows."""
_METRICS: Final = 6
_PARAMETERS: Final = 6
_LINES: Final = 60
_BEST: Final = " *"
_LOWER: Final = re.compile(
    r"(?i)loss|err|(^|[^a-z])(mse|mae|mape|rmse|smape|wer|cer|per|ece|fpr|fnr|brier)([^a-z]|$)|perplex|latency|duration"
    r"|seconds|time|cost|distance|memory|carbon"
)


class RunsCompare(Operation):
    """Compare the runs of one experiment, or two runs or more.

    metrics: these only; params: parameters first; better: what is best in every metric, else judged by its name.
    """

    name: ClassVar[str] = "runs-compare"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 600

    what: Annotated[tuple[str, ...], Field(min_length=1, max_length=50)]
    metrics: tuple[str, ...] = ()
    params: bool = False
    better: Literal["", "higher", "lower"] = ""

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Compare runs"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read them in one pass, and write the file in a second one over what was kept on disk."""
        progress.step("Reading the runs")
        source, about, hint = self._source(systems)
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
            seen = self._first_pass(source, spool, progress)
            if not seen.runs:
                raise OperatorError(f"There are no active runs {about}.", hint)
            if seen.runs == 1:
                raise OperatorError(f"There is one run {about} only: nothing to compare it with.", hint)
            self._refuse_unknown(seen)
            names = self._shown_metrics(seen)
            parameters = seen.differing_params()
            progress.step("Writing the table")
            sheet = _sheet(_kept(spool), seen)
            # A few runs keep the order in which they were named.
            shown = _first(_kept(spool), [] if seen.runs <= BESIDE else names, self, ROWS)
        progress.step("Drawing the metrics that have steps")
        pictures, drawn = curves.drawn(systems.tracking, _called(shown), names)
        report = self._report(seen, shown, names, parameters, sheet, about)
        with_pictures = {"attachments": (*report.attachments, *pictures), "sections": (*report.sections, *drawn)}
        return report.model_copy(update=with_pictures)

    def lower_is_better(self, metric: str) -> bool:
        """As asked, else by its name: losses and errors are better low."""
        return self.better == "lower" if self.better else bool(_LOWER.search(metric))

    def _source(self, systems: Systems) -> tuple[Iterable[Run], str, str]:
        tracking = systems.tracking
        if len(self.what) == 1:
            found = named(tracking, self.what[0])
            experiment = active_experiment(tracking, self.what[0]) if found is None or found.deleted else found
            order = ("attributes.start_time DESC",)
            runs = search(tracking, [experiment.id], order_by=order, size=PAGE)
            return runs, f"in {experiment.name}", f"See experiments show {experiment.word}."
        runs_named = {run.id: run for run in (find(tracking, each) for each in self.what)}
        return runs_named.values(), "among these", "Name two different runs."

    def _first_pass(self, source: Iterable[Run], spool: IO[str], progress: Progress) -> Seen:
        seen = Seen()
        for run in source:
            if seen.runs % PAGE == 0:
                progress.checkpoint()
            seen.add(run, self)
            row = (run.id, run.name, run.status, run.start_ms, run.took, run.metrics, run.params)
            spool.write(json.dumps(row, ensure_ascii=False) + "\n")
        return seen

    def _refuse_unknown(self, seen: Seen) -> None:
        unknown = [each for each in self.metrics if each not in seen.metrics]
        if not unknown:
            return
        near = nearest(unknown[0], seen.metrics, alike=0.5)
        known = f"Did you mean {near}?" if near else f"There are {listed(sorted(seen.metrics), most=10) or 'none'}."
        raise OperatorError(f"None of the runs has a metric {unknown[0]}.", known)

    def _shown_metrics(self, seen: Seen) -> list[str]:
        if self.metrics:
            return list(dict.fromkeys(self.metrics))
        differing = [name for name, held in seen.metrics.items() if held.differs(seen.runs)]
        return sorted(differing, key=lambda name: (-seen.metrics[name].count, name))

    def _report(  # noqa: PLR0913, PLR0917 - what the two passes have found
        self, seen: Seen, shown: list[_Row], metrics: list[str], params: list[str], sheet: Sheet, about: str
    ) -> Report:
        sections: list[Section] = []
        best = [(name, seen.metrics[name]) for name in metrics if seen.metrics[name].best is not None]
        if best:
            items = tuple((name, self._best_words(name, held)) for name, held in best[:_LINES])
            sections.append(Facts(title="Best", items=items))
        table = (
            _beside(shown, metrics, params, seen) if seen.runs <= BESIDE else self._rows(shown, metrics, params, seen)
        )
        if table.rows:
            sections.append(table)
        else:
            sections.append(Facts(items=(("what differs", "nothing: metrics and parameters are the same"),)))
        more = f" The {len(shown)} best in {metrics[0]} are shown." if seen.runs > len(shown) and metrics else ""
        cut = f" The file ends {count(sheet.left_out, 'run')} early: it would be too large." if sheet.left_out else ""
        what = f"{count(len(params), 'parameter')} and {count(seen.differing_metrics(), 'metric')} differ"
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"{count(seen.runs, 'run')} {about}: {what}.{more}{cut}",
            sections=tuple(sections),
            attachments=(sheet.file("compare.csv"),),
            hints=(f"runs show {shown[0].id[:8]}",),
        )

    def _best_words(self, name: str, held: _Metric) -> str:
        way = "lower" if self.lower_is_better(name) else "higher"
        others = f" and {count(held.ties, 'other')}" if held.ties else ""
        return f"{figure(held.best or 0.0)} by {held.by}{others} ({way} is better)"

    def _rows(self, shown: list[_Row], metrics: list[str], params: list[str], seen: Seen) -> Table:
        figures = metrics[:_METRICS]
        values = params[: _PARAMETERS if self.params else max(0, _PARAMETERS - len(figures))]
        rows = tuple(
            (
                row.name or NOTHING,
                row.id[:8],
                *(_cell(row, name, seen) for name in figures),
                *(row.params.get(name, NOTHING) for name in values),
            )
            for row in shown
        )
        # A parameter may bear a metric's name.
        columns = ("run", "id", *(f"{name} ↓" if self.lower_is_better(name) else f"{name} ↑" for name in figures))
        return Table(
            title="Runs (* best of all)",
            columns=(*columns, *values),
            rows=rows,
            numeric=columns[2:],
        )


def _called(rows: list[_Row]) -> dict[str, str]:
    return {row.id: f"{row.name} ({row.id[:8]})" if row.name else row.id[:8] for row in rows}


@dataclass
class _Metric:
    count: int = 0
    first: float | None = None
    varies: bool = False
    best: float | None = None
    by: str = ""
    ties: int = 0

    def add(self, value: float, run: Run, *, lower: bool) -> None:
        self.count += 1
        if self.first is None:
            self.first = value
        elif not _same(value, self.first):
            self.varies = True
        if math.isnan(value):
            return
        if self.best is None or (value < self.best if lower else value > self.best):
            self.best, self.by, self.ties = value, run.called, 0
        elif value == self.best:
            self.ties += 1

    def differs(self, runs: int) -> bool:
        return self.varies or self.count < runs


@dataclass
class _Parameter:
    first: str
    count: int = 0
    varies: bool = False


@dataclass
class Seen:
    """What the runs have, as far as they have been read: bounded by how many names were logged."""

    runs: int = 0
    metrics: dict[str, _Metric] = field(default_factory=dict)
    params: dict[str, _Parameter] = field(default_factory=dict)

    def add(self, run: Run, asked: RunsCompare) -> None:
        """Take one run into account."""
        self.runs += 1
        for name, value in run.metrics.items():
            self.metrics.setdefault(name, _Metric()).add(value, run, lower=asked.lower_is_better(name))
        for name, text in run.params.items():
            held = self.params.setdefault(name, _Parameter(text))
            held.count += 1
            held.varies = held.varies or text != held.first

    def differing_params(self) -> list[str]:
        """Those that are not the same in every run."""
        return sorted(name for name, held in self.params.items() if held.varies or held.count < self.runs)

    def differing_metrics(self) -> int:
        """How many are not the same in every run."""
        return sum(held.differs(self.runs) for held in self.metrics.values())


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    name: str
    status: str
    start_ms: int | None
    took: str
    metrics: dict[str, float]
    params: dict[str, str]


def _kept(spool: IO[str]) -> Iterator[_Row]:
    spool.seek(0)
    for line in spool:
        yield _Row(*json.loads(line))


def _sheet(rows: Iterable[_Row], seen: Seen) -> Sheet:
    metrics, params = sorted(seen.metrics), sorted(seen.params)
    columns = ("run_id", "run", "status", "started")
    sheet = Sheet([*columns, *(f"metrics.{name}" for name in metrics), *(f"params.{name}" for name in params)])
    for row in rows:
        cells = (row.id, row.name, row.status, moment_ms(row.start_ms))
        sheet.row([*cells, *(row.metrics.get(name) for name in metrics), *(row.params.get(name) for name in params)])
    return sheet


def _first(rows: Iterable[_Row], metrics: list[str], asked: RunsCompare, most: int) -> list[_Row]:
    """The best in the first of the metrics; where there is none, the first ones."""
    if not metrics:
        return [row for row, _ in zip(rows, range(most), strict=False)]
    name = metrics[0]
    sign = 1 if asked.lower_is_better(name) else -1

    def key(row: _Row) -> tuple[bool, float]:
        value = row.metrics.get(name, math.nan)
        return (True, 0.0) if math.isnan(value) else (False, sign * value)

    return nsmallest(most, rows, key=key)


def _cell(row: _Row, name: str, seen: Seen) -> str:
    value = row.metrics.get(name)
    if value is None:
        return NOTHING
    held = seen.metrics[name]
    return figure(value) + (_BEST if value == held.best and held.differs(seen.runs) else "")


def _beside(shown: list[_Row], metrics: list[str], params: list[str], seen: Seen) -> Table:
    """A line for each thing that differs, a column for each run."""
    lines = [(name, *(_cell(row, name, seen) for row in shown)) for name in metrics]
    lines += [(name, *(row.params.get(name, NOTHING) for row in shown)) for name in params]
    columns = ("what differs", *(f"{row.name or NOTHING} {row.id[:8]}" for row in shown))
    return Table(title="What differs (* best)", columns=columns, rows=tuple(lines[:_LINES]))


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
