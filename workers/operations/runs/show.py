"""Runs that a filter finds, and one run in full."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.choices import MOST_RUNS
from workers.operations.experiments.finding import active as active_experiment
from workers.operations.experiments.finding import find as find_experiment
from workers.operations.experiments.finding import moment_ms
from workers.operations.runs.csv_file import Sheet
from workers.operations.runs.finding import Run, find, search
from workers.report import Facts, Offer, Report, Section, Status, Table, Text
from workers.systems.errors import TrackingInvalid
from workers.wording import NOTHING, Figure, as_typed, count, linked

if TYPE_CHECKING:
    from workers.settings.links import Links
    from workers.systems import Systems

_METRICS: Final = 4
_IN_TABLE: Final = 50
_INTERNAL: Final = "mlflow."


class RunsSearch(Operation):
    """The runs of an experiment, the newest first. filter: in MLflow's language; most: how many at most."""

    name: ClassVar[str] = "runs-search"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 300

    experiment: str
    filter: str = ""
    order_by: tuple[str, ...] = ()
    most: Annotated[int, Field(ge=1, le=MOST_RUNS)] = 20

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return f"Runs of {self.experiment}"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Search; beyond a screenful the whole goes into a file. Raises OperatorError for what is no filter."""
        progress.step("Searching the runs")
        experiment = active_experiment(systems.tracking, self.experiment)
        order = self.order_by or ("attributes.start_time DESC",)
        found = search(systems.tracking, [experiment.id], self.filter, order, size=min(self.most + 1, 1000))
        runs: list[Run] = []
        try:
            for run in islice(found, self.most + 1):
                progress.checkpoint()
                runs.append(run)
        except TrackingInvalid as error:
            raise OperatorError(
                error.message,
                "Write it as in metrics.accuracy > 0.9 and params.model = 'lightgbm', in quotes as one word; "
                'order as in "metrics.rmse ASC".',
            ) from None
        more, runs = len(runs) > self.most, runs[: self.most]
        about = " that match" if self.filter else ""
        title = f"Runs of {experiment.name}"
        if not runs:
            hints = (f"runs search {experiment.word}",) if self.filter else (f"experiments show {experiment.word}",)
            return Report(title=title, status=Status.OK, summary=f"There are no active runs{about}.", hints=hints)
        summary = f"{count(len(runs), 'run')}{about}{'; there are more' if more else ''}."
        table = _table(runs, systems.settings.ops.links)
        attachments = (_sheet(runs).file("runs.csv"),) if len(runs) > _IN_TABLE else ()
        further = (f"{self._words(experiment.word)} --max {min(self.most * 10, MOST_RUNS)}",) if more else ()
        offers = tuple(Offer(sentence="There are more.", label="Show more", command=words) for words in further)
        hints = (*further, f"runs show {runs[0].short}", f"runs compare {experiment.word}")
        return Report(
            title=title,
            status=Status.OK,
            summary=summary,
            sections=(table,),
            hints=hints,
            offers=offers,
            attachments=attachments,
        )

    def _words(self, experiment: str) -> str:
        import shlex

        order = "".join(f" --order-by {shlex.quote(each)}" for each in self.order_by)
        return f"runs search {experiment}{order}{' ' + as_typed(self.filter) if self.filter else ''}"


class RunShow(Operation):
    """One run: its metrics, parameters and tags. run_id: its id, the beginning of it, or its name.

    experiment: the name or id of the one that it is in, where its name alone is not enough.
    """

    name: ClassVar[str] = "runs-show"
    risk: ClassVar[Risk] = Risk.READ

    run_id: str
    experiment: str = ""

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return f"Run {self.run_id}"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it."""
        progress.step("Reading the run")
        within = find_experiment(systems.tracking, self.experiment).id if self.experiment else ""
        found = find(systems.tracking, self.run_id, within)
        experiment = systems.tracking.ask("experiments/get", experiment_id=found.experiment).get("experiment", {})
        facts = Facts(
            items=(
                ("id", found.id),
                ("experiment", f"{experiment.get('name', NOTHING)} ({found.experiment})"),
                ("status", f"{found.status}{', deleted' if found.deleted else ''}"),
                ("started", moment_ms(found.start_ms)),
                ("ended", moment_ms(found.end_ms)),
                ("took", found.took),
                ("by", found.tags.get("mlflow.user") or found.user or NOTHING),
                ("source", found.tags.get("mlflow.source.name", NOTHING)),
                ("artifacts", found.artifacts or NOTHING),
            )
        )
        sections: list[Section] = [facts]
        own = {key: value for key, value in found.tags.items() if not key.startswith(_INTERNAL)}
        metrics = {key: figure(value) for key, value in found.metrics.items()}
        for title, held in (("Metrics (last values)", metrics), ("Parameters", found.params), ("Tags", own)):
            if held:
                rows = tuple(sorted(held.items()))
                numeric = ("value",) if held is metrics else ()
                sections.append(Table(title=title, columns=("name", "value"), rows=rows, numeric=numeric))
        note = found.tags.get("mlflow.note.content")
        if note:
            sections.append(Text(title="Description", text=note))
        return Report(
            title=f"Run {found.called}",
            status=Status.WARN if found.deleted or found.status == "FAILED" else Status.OK,
            summary=f"{found.status}{', deleted' if found.deleted else ''}; {count(len(found.metrics), 'metric')}, "
            f"{count(len(found.params), 'parameter')}, {count(len(own), 'tag')}.",
            sections=tuple(sections),
            hints=() if found.deleted else (f"runs tag {found.short} KEY=VALUE", f"runs compare {found.short} OTHER"),
        )


def figure(value: float) -> Figure:
    """A metric's value as people read it."""
    return Figure(f"{value:.6g}", value)


def _table(runs: list[Run], links: Links) -> Table:
    names = _often(runs)[:_METRICS]
    rows = tuple(
        (
            linked(run.name or NOTHING, links.run(run.experiment, run.id)),
            Figure(run.short, run.id, "name"),
            run.status,
            moment_ms(run.start_ms),
            run.took,
            *(figure(run.metrics[name]) if name in run.metrics else NOTHING for name in names),
        )
        for run in runs
    )
    columns = ("run", "id", "status", "started", "took", *(f"{name} " if name in _TAKEN else name for name in names))
    return Table(columns=columns, rows=rows, numeric=("took", *names), screenful=_IN_TABLE)


_TAKEN: Final = frozenset({"run", "id", "status", "started", "took"})


def _often(runs: list[Run]) -> list[str]:
    """The metrics that most of the runs have first."""
    seen: dict[str, int] = {}
    for run in runs:
        for name in run.metrics:
            seen[name] = seen.get(name, 0) + 1
    return sorted(seen, key=lambda name: (-seen[name], name))


def _sheet(runs: list[Run]) -> Sheet:
    metrics = sorted({name for run in runs for name in run.metrics})
    params = sorted({name for run in runs for name in run.params})
    columns = ("run_id", "run", "status", "started", "ended")
    sheet = Sheet([*columns, *(f"metrics.{name}" for name in metrics), *(f"params.{name}" for name in params)])
    for run in runs:
        cells = (run.id, run.name, run.status, moment_ms(run.start_ms), moment_ms(run.end_ms))
        sheet.row([*cells, *(run.metrics.get(name) for name in metrics), *(run.params.get(name) for name in params)])
    return sheet
