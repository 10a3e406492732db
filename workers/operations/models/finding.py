"""A registered model by what people call it, and its versions.

Traps this avoids: a prompt is a registered model with a tag, since MLflow 2.21, and no model to anybody
(mlflow/prompt/constants.py); a version's number comes as text, and "10" is after "9".
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.experiments.finding import pairs
from workers.operations.runs.finding import quoted
from workers.systems.errors import TrackingMissing
from workers.wording import listed, nearest, plain_form, same_name

if TYPE_CHECKING:
    from workers.systems.mlflow.tracking import Tracking

_TOGETHER: Final = 200
_COMPARED: Final = 2000
_PROMPT: Final = "mlflow.prompt.is_prompt"


@dataclass(frozen=True)
class Model:
    """One registered model. Times are milliseconds since 1970; aliases hold versions' numbers. newest: 0 for none."""

    name: str
    description: str
    created_ms: int
    updated_ms: int
    aliases: dict[str, str]
    tags: dict[str, str]
    newest: int

    @classmethod
    def of(cls, data: dict[str, Any]) -> Model:
        """From MLflow's answer."""
        aliases = data.get("aliases")
        newest = data.get("latest_versions")
        return cls(
            name=str(data.get("name", "")),
            description=str(data.get("description") or ""),
            created_ms=int(data.get("creation_timestamp") or 0),
            updated_ms=int(data.get("last_updated_timestamp") or 0),
            aliases={str(each.get("alias")): str(each.get("version")) for each in aliases or ()},
            tags=pairs(data.get("tags")),
            newest=max((int(each.get("version") or 0) for each in newest or ()), default=0),
        )

    @property
    def word(self) -> str:
        """As it is typed after a command."""
        return shlex.quote(self.name)

    @property
    def is_prompt(self) -> bool:
        """Whether it is a prompt of MLflow's prompt registry."""
        return self.tags.get(_PROMPT) == "true"


@dataclass(frozen=True)
class Version:
    """One version of a model. stage: None, Staging, Production or Archived, in MLflow's words."""

    number: str
    stage: str
    status: str
    run: str
    created_ms: int
    source: str
    tags: dict[str, str]

    @classmethod
    def of(cls, data: dict[str, Any]) -> Version:
        """From MLflow's answer."""
        return cls(
            number=str(data.get("version")),
            stage=str(data.get("current_stage") or "None"),
            status=str(data.get("status") or ""),
            run=str(data.get("run_id") or ""),
            created_ms=int(data.get("creation_timestamp") or 0),
            source=str(data.get("source") or ""),
            tags=pairs(data.get("tags")),
        )


def every(tracking: Tracking) -> Iterator[Model]:
    """All registered models, by name; prompts are none."""
    for page in tracking.pages_asked("registered-models/search", "registered_models", size=_TOGETHER):
        yield from (model for model in map(Model.of, page) if not model.is_prompt)


def find(tracking: Tracking, called: str) -> Model:
    """The model of that name, else the one whose name a keyboard writes in the same way.

    Raises OperatorError, which says the nearest name.
    """
    for name in dict.fromkeys((called, plain_form(called))):
        if name and (found := _named(tracking, name)):
            return found
    names = [each.name for each in islice(every(tracking), _COMPARED)]
    if (same := same_name(called, names)) and (found := _named(tracking, same)):
        return found
    near = nearest(called, names, alike=0.5)
    hint = f"Did you mean {shlex.quote(near)}?" if near else "See models list."
    raise OperatorError(f"There is no registered model “{called[:80]}”.", hint)


def versions(tracking: Tracking, model: str) -> list[Version]:
    """All versions of a model, the newest first."""
    condition = f"name = {quoted(model)}"
    pages = tracking.pages_asked("model-versions/search", "model_versions", size=_TOGETHER, filter=condition)
    found = [Version.of(each) for page in pages for each in page]
    return sorted(found, key=lambda each: -int(each.number))


def version(tracking: Tracking, model: Model, number: int) -> Version:
    """One version of a model. Raises OperatorError, which says which there are."""
    try:
        answer = tracking.ask("model-versions/get", name=model.name, version=str(number))
    except TrackingMissing:
        there = [each.number for each in versions(tracking, model.name)]
        known = f"There are {listed(there, most=5)}." if there else "It has none."
        raise OperatorError(f"{model.name} has no version {number}.", known) from None
    return Version.of(answer.get("model_version", {}))


def _named(tracking: Tracking, name: str) -> Model | None:
    try:
        return Model.of(tracking.ask("registered-models/get", name=name).get("registered_model", {}))
    except TrackingMissing:
        return None
