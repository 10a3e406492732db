"""Registered models as a list, and one of them with its versions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.experiments.finding import moment_ms, pairs
from workers.operations.runs.finding import SHORT, quoted
from workers.rendering.pagination import Page
from workers.report import Facts, Report, Section, Status, Table
from workers.systems.errors import TrackingMissing
from workers.wording import NOTHING, count, listed, nearest

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.mlflow.tracking import Tracking

PAGE: Final = 20
VERSIONS: Final = 50
_TOGETHER: Final = 200


class ModelsList(Operation):
    """A page of registered models, by name."""

    name: ClassVar[str] = "models-list"
    risk: ClassVar[Risk] = Risk.READ

    page: Annotated[int, Field(ge=1, le=100_000)] = 1

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Registered models"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read them."""
        progress.step("Reading the registry")
        page = Page.of(_models(systems.tracking), self.page, PAGE)
        if not page.shown:
            return Report(title=self.title, status=Status.OK, summary="No model is registered.")
        rows = tuple(
            (
                str(each.get("name")),
                _newest(each),
                listed(f"{alias} → {version}" for alias, version in _aliases(each).items()) or NOTHING,
                moment_ms(int(each.get("last_updated_timestamp") or 0)),
            )
            for each in page.shown
        )
        table = Table(columns=("model", "newest version", "aliases", "changed"), rows=rows, numeric=("newest version",))
        return Report(
            title=self.title,
            status=Status.OK,
            summary=page.summary(),
            sections=(table,),
            hints=(*page.hints("models list"), f"models show {_word(page.shown[0])}"),
            offers=page.offers("models list"),
        )


class ModelShow(Operation):
    """One registered model with its versions, the newest first."""

    name: ClassVar[str] = "models-show"
    risk: ClassVar[Risk] = Risk.READ

    model: str

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return f"Model {self.model}"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it. Raises OperatorError with the nearest name where there is none."""
        progress.step("Reading the model")
        tracking = systems.tracking
        try:
            model = tracking.ask("registered-models/get", name=self.model).get("registered_model", {})
        except TrackingMissing:
            names = [str(each.get("name")) for each in islice(_models(tracking), 2000)]
            near = nearest(self.model, names, alike=0.5)
            hint = f"Did you mean {near}?" if near else "See models list."
            raise OperatorError(f"There is no registered model “{self.model[:80]}”.", hint) from None
        versions = list(_versions(tracking, self.model))
        aliases: dict[str, list[str]] = {}
        for alias, version in _aliases(model).items():
            aliases.setdefault(version, []).append(alias)
        sections: list[Section] = [
            Facts(
                items=(
                    ("description", str(model.get("description") or NOTHING)),
                    ("created", moment_ms(int(model.get("creation_timestamp") or 0))),
                    ("changed", moment_ms(int(model.get("last_updated_timestamp") or 0))),
                    ("aliases", ", ".join(f"{a} → {v}" for a, v in _aliases(model).items()) or NOTHING),
                    *((f"tag {key}", value) for key, value in sorted(pairs(model.get("tags")).items())),
                )
            )
        ]
        if versions:
            columns = ("version", "aliases", "stage", "state", "source run", "made", "source")
            rows = tuple(_row(each, aliases) for each in versions[:VERSIONS])
            sections.append(Table(title="Versions", columns=columns, rows=rows, numeric=("version",)))
        cut = f", of which {VERSIONS} are shown" if len(versions) > VERSIONS else ""
        run = next((str(each["run_id"]) for each in versions if each.get("run_id")), "")
        return Report(
            title=f"Model {self.model}",
            status=Status.OK,
            summary=f"{count(len(versions), 'version')}{cut}, {len(_aliases(model))} with an alias.",
            sections=tuple(sections),
            hints=(f"runs show {run[:SHORT]}",) if run else (),
        )


def _models(tracking: Tracking) -> Iterator[dict[str, Any]]:
    for page in tracking.pages_asked("registered-models/search", "registered_models", size=_TOGETHER):
        yield from page


def _versions(tracking: Tracking, model: str) -> list[dict[str, Any]]:
    condition = f"name = {quoted(model)}"
    pages = tracking.pages_asked("model-versions/search", "model_versions", size=_TOGETHER, filter=condition)
    return sorted((each for page in pages for each in page), key=lambda each: -int(each.get("version") or 0))


def _aliases(model: dict[str, Any]) -> dict[str, str]:
    return {str(each.get("alias")): str(each.get("version")) for each in model.get("aliases") or ()}


def _newest(model: dict[str, Any]) -> str:
    numbers = [int(each.get("version") or 0) for each in model.get("latest_versions") or ()]
    return str(max(numbers)) if numbers else NOTHING


def _row(version: dict[str, Any], aliases: dict[str, list[str]]) -> tuple[str, ...]:
    number = str(version.get("version"))
    stage = str(version.get("current_stage") or "None")
    return (
        number,
        ", ".join(aliases.get(number, ())) or NOTHING,
        NOTHING if stage == "None" else stage,
        str(version.get("status") or NOTHING).lower(),
        str(version.get("run_id") or NOTHING)[:SHORT],
        moment_ms(int(version.get("creation_timestamp") or 0)),
        str(version.get("source") or NOTHING),
    )


def _word(model: dict[str, Any]) -> str:
    import shlex

    return shlex.quote(str(model.get("name")))
