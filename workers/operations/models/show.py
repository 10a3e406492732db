"""Registered models as a list, and one of them with its versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.experiments.finding import moment_ms
from workers.operations.models.finding import Version, every, find, versions
from workers.operations.runs.finding import SHORT
from workers.rendering.pagination import Page
from workers.report import Facts, Report, Section, Status, Table, Text
from workers.settings import SettingsError
from workers.systems.mlflow import contents
from workers.wording import NOTHING, count, linked, listed

if TYPE_CHECKING:
    from workers.systems import Systems

PAGE: Final = 20
VERSIONS: Final = 50


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
        page = Page.of(every(systems.tracking), self.page, PAGE)
        if not page.shown:
            return Report(title=self.title, status=Status.OK, summary="No model is registered.")
        rows = tuple(
            (
                linked(each.name, systems.settings.ops.links.model(each.name)),
                str(each.newest or NOTHING),
                listed(f"{alias} → {version}" for alias, version in each.aliases.items()) or NOTHING,
                moment_ms(each.updated_ms),
            )
            for each in page.shown
        )
        table = Table(columns=("model", "newest version", "aliases", "changed"), rows=rows, numeric=("newest version",))
        return Report(
            title=self.title,
            status=Status.OK,
            summary=page.summary("model"),
            sections=(table, *_besides(systems)),
            hints=(*page.hints("models list"), f"models show {page.shown[0].word}"),
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
        model = find(systems.tracking, self.model)
        found = versions(systems.tracking, model.name)
        aliases: dict[str, list[str]] = {}
        for alias, number in model.aliases.items():
            aliases.setdefault(number, []).append(alias)
        sections: list[Section] = [
            Facts(
                items=(
                    ("description", model.description or NOTHING),
                    ("created", moment_ms(model.created_ms)),
                    ("changed", moment_ms(model.updated_ms)),
                    ("aliases", ", ".join(f"{a} → {v}" for a, v in model.aliases.items()) or NOTHING),
                    *((f"tag {key}", value) for key, value in sorted(model.tags.items())),
                )
            )
        ]
        if found:
            columns = ("version", "aliases", "stage", "state", "source run", "made", "tags", "source")
            rows = tuple(_row(each, aliases) for each in found[:VERSIONS])
            sections.append(Table(title="Versions", columns=columns, rows=rows, numeric=("version",)))
        cut = f", of which {VERSIONS} are shown" if len(found) > VERSIONS else ""
        run = next((each.run for each in found if each.run), "")
        return Report(
            title=f"Model {model.name}",
            status=Status.OK,
            summary=f"{count(len(found), 'version')}{cut}, {len(model.aliases)} with an alias.",
            sections=tuple(sections),
            hints=(
                *((f"runs show {run[:SHORT]}",) if run else ()),
                *(f"models rollback {model.word} {alias}" for alias in list(model.aliases)[:1]),
            ),
        )


def _besides(systems: Systems) -> tuple[Text, ...]:
    """Prompts, webhooks and workspaces, as far as this MLflow has such and its database can be asked."""
    try:
        found = contents.beside(systems.database.within(10))
    except (OperatorError, SettingsError):
        return ()
    return (Text(text=f"Besides: {', '.join(found)}."),) if found else ()


def _row(version: Version, aliases: dict[str, list[str]]) -> tuple[str, ...]:
    return (
        version.number,
        ", ".join(aliases.get(version.number, ())) or NOTHING,
        NOTHING if version.stage == "None" else version.stage,
        version.status.lower() or NOTHING,
        version.run[:SHORT] or NOTHING,
        moment_ms(version.created_ms),
        listed(f"{key}={value}" for key, value in sorted(version.tags.items())) or NOTHING,
        version.source or NOTHING,
    )
