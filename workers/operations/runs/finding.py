"""A run by its id, the beginning of its id, or its name.

MLflow knows whole ids only; the beginning of one is searched for over all experiments, because a search must name them
(https://mlflow.org/docs/latest/api_reference/rest-api.html#search-runs).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError, RunMissing
from workers.operations.experiments.finding import SECONDS, Experiment, View, every, pairs
from workers.operations.runs.pace import QUIET_PAGE, QUIET_RESTS, RESTS, SHORT_PAGE, rested
from workers.systems.errors import TrackingMissing
from workers.wording import NOTHING, duration, nearest, plain_form, same_name

if TYPE_CHECKING:
    from workers.systems.mlflow.tracking import Tracking

SHORT: Final = 8
"""So much of an id is shown: enough to find the run again."""
TOGETHER: Final = 200
"""So many experiments are searched in one call."""
_LEAST: Final = 4
_SHOWN: Final = 5
_COMPARED: Final = 500
_WHOLE: Final = re.compile(r"[0-9a-f]{32}")
_PART: Final = re.compile(r"[0-9a-f]{4,31}")


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times are milliseconds since 1970; metrics hold the last value of each."""

    id: str
    experiment: str
    name: str
    status: str
    deleted: bool
    start_ms: int | None
    end_ms: int | None
    user: str
    artifacts: str
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]

    @classmethod
    def of(cls, data: dict[str, Any]) -> Run:
        """From MLflow's answer."""
        info, held = data.get("info") or {}, data.get("data") or {}
        return cls(
            id=str(info.get("run_id", "")),
            experiment=str(info.get("experiment_id", "")),
            name=str(info.get("run_name") or ""),
            status=str(info.get("status", "")),
            deleted=info.get("lifecycle_stage") == "deleted",
            start_ms=_number(info.get("start_time")),
            end_ms=_number(info.get("end_time")),
            user=str(info.get("user_id") or ""),
            artifacts=str(info.get("artifact_uri") or ""),
            metrics={key: _figure(value) for key, value in pairs(held.get("metrics")).items()},
            params=pairs(held.get("params")),
            tags=pairs(held.get("tags")),
        )

    @property
    def short(self) -> str:
        """The beginning of its id."""
        return self.id[:SHORT]

    @property
    def called(self) -> str:
        """Its name and the beginning of its id."""
        return f"{self.name} ({self.short})" if self.name else self.short

    @property
    def took(self) -> str:
        """From its beginning to its end."""
        if self.start_ms is None or self.end_ms is None:
            return NOTHING
        return duration((self.end_ms - self.start_ms) / 1000)


def search(  # noqa: PLR0913 - as MLflow's own
    tracking: Tracking,
    experiments: Iterable[str],
    filter_string: str = "",
    order_by: tuple[str, ...] = (),
    *,
    view: View = "ACTIVE_ONLY",
    size: int = 1000,
    gently: bool = False,
    quietly: bool = False,
) -> Iterator[Run]:
    """Every run that a filter finds, page by page; over many experiments, in the order of the experiments.

    gently: in short pages with rests between them, for very many runs that nobody waits for. quietly: in pages with a
    short rest, for very many that somebody waits for.
    """
    patient = tracking.within(SECONDS)
    for ids in batches(experiments, TOGETHER):
        body = {"experiment_ids": ids, "filter": filter_string, "order_by": list(order_by), "run_view_type": view}
        long = QUIET_PAGE if quietly else SHORT_PAGE if gently else size
        pages = patient.pages("runs/search", "runs", body, size=long)
        if gently or quietly:
            pages = rested(pages, RESTS if gently else QUIET_RESTS)
        for page in pages:
            yield from map(Run.of, page)


def batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of at most `size`."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def find(tracking: Tracking, called: str, experiment: str = "") -> Run:
    """The run, active or deleted, by its id, the beginning of it, or its name. experiment: its id, where it is known.

    Raises RunMissing, with the nearest name, where there is none, OperatorError where it is more than one.
    """
    word = called.strip()
    if _WHOLE.fullmatch(word.lower()):
        try:
            return Run.of(tracking.ask("runs/get", run_id=word.lower()).get("run", {}))
        except TrackingMissing:
            raise RunMissing(
                f"There is no run {word}.", "See runs search EXPERIMENT; it may have been purged."
            ) from None
    within = [experiment] if experiment else [each.id for each in every(tracking, "ALL")]
    found = []
    if _PART.fullmatch(word.lower()):
        found = _first(tracking, within, f"attributes.run_id LIKE '{word.lower()}%'")
    for name in dict.fromkeys((word, plain_form(word))):
        found = found or (_first(tracking, within, f"attributes.run_name = {quoted(name)}") if name else [])
    near = ""
    if not found:
        recent = {run.name for run in _recent(tracking, within) if run.name}
        same = same_name(word, recent)
        found = _first(tracking, within, f"attributes.run_name = {quoted(same)}") if same else []
        near = nearest(word, recent)
    if len(found) == 1:
        return found[0]
    if found:
        these = ", ".join(f"{run.name or NOTHING} {run.id}" for run in found[:_SHOWN])
        more = "Give more of the id." if experiment else "Give more of the id, or name its --experiment to runs show."
        raise OperatorError(f"“{word[:80]}” is not one run but several: {these}.", more)
    raise RunMissing(
        f"There is no run “{word[:80]}”{' in that experiment' if experiment else ''}.",
        f"Did you mean {shlex.quote(near)}?"
        if near
        else f"Give its name, its id, or {_LEAST} letters of its id: runs search shows it.",
    )


def active(tracking: Tracking, called: str) -> Run:
    """As `find`, but a deleted run is refused: MLflow changes nothing of it."""
    run = find(tracking, called)
    if run.deleted:
        raise OperatorError(
            f"The run {run.called} is deleted, and MLflow changes nothing of it.",
            "Archived runs come back with runs unarchive MARK.",
        )
    return run


def experiments_by_id(tracking: Tracking, view: View = "ACTIVE_ONLY") -> dict[str, Experiment]:
    """All experiments by their ids."""
    return {each.id: each for each in every(tracking, view)}


def quoted(text: str) -> str:
    """A text as a literal in MLflow's filter language, which knows no escapes. Raises OperatorError."""
    for quote in ("'", '"'):
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise OperatorError("MLflow cannot search for a text with both kinds of quotes.", "Give the id instead.")


def _first(tracking: Tracking, experiments: list[str], filter_string: str) -> list[Run]:
    return list(islice(search(tracking, experiments, filter_string, view="ALL", size=_SHOWN + 1), _SHOWN + 1))


def _recent(tracking: Tracking, experiments: list[str]) -> Iterator[Run]:
    """Some hundreds of runs, the newest first: what somebody may have meant is among them most often."""
    order = ("attributes.start_time DESC",)
    return islice(search(tracking, experiments[:TOGETHER], "", order, view="ALL", size=_COMPARED), _COMPARED)


def _number(value: object) -> int | None:
    return int(str(value)) if value is not None else None


def _figure(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")
