"""Experiments as a list with what is in each, and one of them in full.

How many runs each has is counted in the database, because MLflow could only be asked for all of them; how large its
artifacts are is what `storage` has found last, because a list would else list the whole bucket. Where one of these
cannot be asked, its cells stay empty and the list is shown all the same.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.experiments import sizes
from workers.operations.experiments.finding import Experiment, View, every, find, moment_ms
from workers.operations.storage.cache import changed_since
from workers.rendering.pagination import Page
from workers.report import Facts, Report, Section, Status, Table
from workers.settings import SettingsError
from workers.systems.mlflow import contents
from workers.systems.mlflow.run_counts import RunCount, run_counts
from workers.wording import NOTHING, count, linked, size, thousands

if TYPE_CHECKING:
    from workers.operations.storage.cache import Point
    from workers.settings.links import Links
    from workers.systems import Systems

PAGE: Final = 20


class ExperimentsList(Operation):
    """A page of experiments, the one changed last first. text: only those with it in their name or tags."""

    name: ClassVar[str] = "experiments-list"
    risk: ClassVar[Risk] = Risk.READ

    view: View = "ACTIVE_ONLY"
    page: Annotated[int, Field(ge=1, le=100_000)] = 1
    text: str = ""

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Experiments"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read this page, and look whether there is another."""
        progress.step("Reading the experiments")
        found = (each for each in every(systems.tracking, self.view) if self._wanted(each))
        page = Page.of(found, self.page, PAGE)
        about = f" with “{self.text}”" if self.text else ""
        if not page.shown:
            kind = {"ACTIVE_ONLY": "active ", "DELETED_ONLY": "deleted ", "ALL": ""}[self.view]
            summary = f"There is no {kind}experiment{about}."
            wider = () if self.view == "ALL" else (self._words(view="ALL"),)
            return Report(title=self.title, status=Status.OK, summary=summary, hints=wider)
        states = {"ACTIVE_ONLY": ", all active", "DELETED_ONLY": ", all deleted", "ALL": ""}[self.view]
        measured = sizes.latest(systems)
        table = _table(page.shown, _counts(systems, page.shown), measured, systems.settings.ops.links)
        as_of = f" Sizes of {moment_ms(int(measured.at * 1000))}." if measured else ""
        if measured and changed_since(systems.redis, measured.at):
            as_of = f"{as_of[:-1]}; artifacts were changed since: /mlflow storage."
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"{page.summary('experiment', f'{about}{states}')}{as_of}",
            sections=(table,),
            hints=(
                *page.hints(self._words()),
                f"experiments show {page.shown[0].word}",
                *(() if measured else ("storage",)),
            ),
            offers=page.offers(self._words()),
        )

    def _wanted(self, each: Experiment) -> bool:
        text = self.text.casefold()
        held = (each.name, *each.tags, *each.tags.values()) if text else ()
        return not text or any(text in part.casefold() for part in held)

    def _words(self, view: View | None = None) -> str:
        flag = {"ACTIVE_ONLY": "", "DELETED_ONLY": " --deleted", "ALL": " --all"}[view or self.view]
        return (f"experiments search {shlex.quote(self.text)}" if self.text else "experiments list") + flag


class ExperimentShow(Operation):
    """One experiment. experiment: its name or id."""

    name: ClassVar[str] = "experiments-show"
    risk: ClassVar[Risk] = Risk.READ

    experiment: str

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return f"Experiment {self.experiment}"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it, and count its runs."""
        progress.step("Reading the experiment")
        found = find(systems.tracking, self.experiment)
        runs = _counts(systems, [found]).get(found.id)
        progress.step("Adding up its artifacts")
        held = sizes.measure(systems, found.location, progress)
        state = "deleted" if found.deleted else "active"
        facts = Facts(
            items=(
                ("id", found.id),
                ("state", state),
                ("runs", count(runs.active, "active run") if runs else NOTHING),
                ("deleted runs", thousands(runs.deleted) if runs else NOTHING),
                ("besides", _besides(systems, found) or NOTHING),
                ("last activity", moment_ms(runs.last_ms) if runs else NOTHING),
                ("created", moment_ms(found.created_ms)),
                ("changed", moment_ms(found.updated_ms)),
                ("artifacts", held or NOTHING),
                ("where", found.location or NOTHING),
            )
        )
        sections: list[Section] = [facts]
        if found.tags:
            sections.append(Table(title="Tags", columns=("tag", "value"), rows=tuple(sorted(found.tags.items()))))
        hints = (
            (f"experiments restore {found.word}",)
            if found.deleted
            else (f"runs search {found.word}", f"runs compare {found.word}")
        )
        holds = f"{count(runs.active, 'run')}" if runs else "an unknown number of runs"
        return Report(
            title=f"Experiment {found.name}",
            status=Status.WARN if found.deleted else Status.OK,
            summary=f"It is {state} and has {holds}{f', with {held}' if held else ''}.",
            sections=tuple(sections),
            hints=hints,
        )


def _counts(systems: Systems, shown: list[Experiment]) -> dict[str, RunCount]:
    try:
        return run_counts(systems.database.within(10), [each.id for each in shown if each.id.isdigit()])
    except (OperatorError, SettingsError):
        return {}


def _besides(systems: Systems, found: Experiment) -> str:
    """Its logged models, traces and datasets, as far as this MLflow has such."""
    try:
        return ", ".join(contents.of_experiment(systems.database.within(10), found.id))
    except (OperatorError, SettingsError):
        return ""


def _table(shown: list[Experiment], counts: dict[str, RunCount], measured: Point | None, links: Links) -> Table:
    rows = []
    for each in shown:
        runs = counts.get(each.id)
        rows.append(
            (
                linked(each.name, links.experiment(each.id)),
                each.id,
                "deleted" if each.deleted else "active",
                thousands(runs.active) if runs else NOTHING,
                thousands(runs.deleted) if runs else NOTHING,
                moment_ms(runs.last_ms) if runs else NOTHING,
                size(measured.experiments[each.id]) if measured and each.id in measured.experiments else NOTHING,
            )
        )
    spare = ("state", "deleted runs", "artifacts")
    columns = ("experiment", "id", "state", "runs", "deleted runs", "last activity", "artifacts")
    return Table(columns=columns, rows=tuple(rows), numeric=("id", "runs", "deleted runs", "artifacts"), spare=spare)
