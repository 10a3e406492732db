"""An experiment by what people call it, whether it is active or deleted.

Traps this avoids: `experiments/list` is gone, so all are searched, page by page; get-by-name finds deleted ones too,
because they hold their names (https://mlflow.org/docs/latest/api_reference/rest-api.html#search-experiments).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal

from workers.errors import ExperimentMissing, OperatorError
from workers.systems.errors import TrackingMissing
from workers.wording import NOTHING, moment, nearest, plain_form, same_name

if TYPE_CHECKING:
    from workers.systems.mlflow.tracking import Tracking

SECONDS: Final = 60.0
"""How long a search may take: a page of a thousand runs with many metrics takes MLflow seconds."""
_COMPARED: Final = 5000

View = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]


@dataclass(frozen=True)
class Experiment:
    """One experiment. Times are milliseconds since 1970."""

    id: str
    name: str
    deleted: bool
    created_ms: int
    updated_ms: int
    location: str
    tags: dict[str, str]

    @classmethod
    def of(cls, data: dict[str, Any]) -> Experiment:
        """From MLflow's answer."""
        return cls(
            id=str(data.get("experiment_id", "")),
            name=str(data.get("name", "")),
            deleted=data.get("lifecycle_stage") == "deleted",
            created_ms=int(data.get("creation_time") or 0),
            updated_ms=int(data.get("last_update_time") or 0),
            location=str(data.get("artifact_location", "")),
            tags=pairs(data.get("tags")),
        )

    @property
    def word(self) -> str:
        """As it is typed after a command: in quotes where its name needs them."""
        return shlex.quote(self.name)


def pairs(listed: object) -> dict[str, str]:
    """MLflow's [{"key": …, "value": …}] as a mapping."""
    if not isinstance(listed, list):
        return {}
    return {str(each.get("key", "")): str(each.get("value", "")) for each in listed if isinstance(each, dict)}


def moment_ms(milliseconds: int | None) -> str:
    """A moment as MLflow has it, as people read it; a dash where there is none."""
    return moment(milliseconds / 1000) if milliseconds else NOTHING


def every(tracking: Tracking, view: View = "ACTIVE_ONLY") -> Iterator[Experiment]:
    """All of them, the one that was changed last first."""
    body = {"view_type": view, "order_by": ["last_update_time DESC"]}
    for page in tracking.within(SECONDS).pages("experiments/search", "experiments", body):
        yield from map(Experiment.of, page)


def find(tracking: Tracking, called: str) -> Experiment:
    """The experiment of that name, else of that id, else the one whose name a keyboard writes in the same way.

    Raises ExperimentMissing, which says the nearest name.
    """
    plain = plain_form(called)
    found = named(tracking, called) or _by_id(tracking, called)
    if found is None and plain != called:
        found = named(tracking, plain)
    if found is not None:
        return found
    names = [each.name for each in islice(every(tracking), _COMPARED)]
    if (same := same_name(called, names)) and (found := named(tracking, same)):
        return found
    near = _near(called, names)
    hint = f"Did you mean {shlex.quote(near)}?" if near else "See experiments list --all."
    raise ExperimentMissing(f"There is no experiment “{called[:80]}”.", hint)


def active(tracking: Tracking, called: str) -> Experiment:
    """As `find`, but deleted ones are refused."""
    found = find(tracking, called)
    if found.deleted:
        raise OperatorError(
            f"The experiment “{found.name}” is deleted, and its runs with it.",
            f"Bring it back with experiments restore {found.word}.",
        )
    return found


def named(tracking: Tracking, name: str) -> Experiment | None:
    """The experiment that holds a name, active or deleted."""
    try:
        answer = tracking.ask("experiments/get-by-name", experiment_name=name)
    except TrackingMissing:
        return None
    return Experiment.of(answer.get("experiment", {}))


def known(tracking: Tracking, experiment_id: str) -> Experiment:
    """The experiment of that id, active or deleted. Raises TrackingMissing."""
    return Experiment.of(tracking.ask("experiments/get", experiment_id=experiment_id).get("experiment", {}))


def refuse_taken(tracking: Tracking, name: str) -> None:
    """Raise OperatorError where a name is held, also by a deleted experiment, and say the ways out."""
    holder = named(tracking, name)
    if holder is None:
        return
    if not holder.deleted:
        raise OperatorError(
            f"There is an experiment “{holder.name}” already (id {holder.id}).", "Choose another name, or rename that."
        )
    raise OperatorError(
        f"The name “{holder.name}” is held by a deleted experiment (id {holder.id}): MLflow keeps names until what is "
        "deleted is purged.",
        f"Either bring it back with experiments restore {holder.id}, or choose another name (restored, it can be "
        f"renamed with experiments rename {holder.id} NEW and deleted again).",
    )


def _by_id(tracking: Tracking, called: str) -> Experiment | None:
    if not (called.isascii() and called.isdigit()):
        return None
    try:
        return known(tracking, called)
    except TrackingMissing:
        return None


def _near(called: str, names: list[str]) -> str | None:
    lower = {name.lower(): name for name in names}
    inside = [name for name in names if called.lower() in name.lower()]
    near = nearest(called.lower(), lower)
    return lower[near] if near else inside[0] if inside else None
