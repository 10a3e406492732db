"""One read of each kind through MLflow's API: a run, a metric's history, a registered model's version.

Trap this avoids: a search for experiments is answered well while the tables behind runs, metrics or models are gone or
no longer what this MLflow expects; people notice, and a check that asks for experiments only does not. MLflow 3.1 takes
a question for a metric's history that says no number as one for none, and answers with an empty list
(mlflow/server/handlers.py: an integer that is not set is 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.systems.errors import GatewayError
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems.mlflow.tracking import Tracking

_EXPERIMENTS: Final = 50
"""Among which a run is looked for, the newest first."""
_POINTS: Final = 100
_UNREADABLE: Final = (GatewayError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Read:
    """What was read, as facts; and what could not be read, with MLflow's words, where that is so."""

    facts: tuple[tuple[str, str], ...]
    trouble: str = ""


NOTHING: Final = Read(())


def runs(tracking: Tracking, known: Sequence[dict[str, Any]] = ()) -> Read:
    """Read a run, the newest of where it is found, and the history of one of its metrics; what there is of these.

    known: experiments, as MLflow tells of them, in which it is looked for first.
    """
    facts: list[tuple[str, str]] = []
    what = "runs"
    try:
        run = _newest(tracking, known) or _newest(tracking, _experiments(tracking))
        facts.append(("a run", str(run["info"]["run_id"]) if run else "there is none"))
        metrics = (run or {}).get("data", {}).get("metrics") or []
        if run and metrics:
            what = "the history of a metric"
            key = str(metrics[0]["key"])
            query = {"run_id": run["info"]["run_id"], "metric_key": key, "max_results": str(_POINTS)}
            points = len(tracking.ask("metrics/get-history", **query).get("metrics") or ())
            facts.append(("a metric's history", f"{key}, {'at least ' * (points == _POINTS)}{count(points, 'point')}"))
            if not points:
                return Read(tuple(facts), f"the run has a metric {key}, and its history is empty")
    except _UNREADABLE as error:
        return Read(tuple(facts), _trouble(what, error))
    return Read(tuple(facts))


def models(tracking: Tracking) -> Read:
    """Read a version of a registered model, if there is one."""
    what = "model versions"
    try:
        versions = tracking.ask("model-versions/search", max_results="1").get("model_versions") or []
        said = f"{versions[0]['name']} {versions[0]['version']}" if versions else "there is none"
    except _UNREADABLE as error:
        return Read((), _trouble(what, error))
    return Read((("a model version", said),))


def together(*parts: Read) -> Read:
    """All of their facts, and all of their troubles."""
    return Read(
        tuple(fact for part in parts for fact in part.facts), "; ".join(part.trouble for part in parts if part.trouble)
    )


def _trouble(what: str, error: Exception) -> str:
    if isinstance(error, GatewayError):
        return f"{what} can't be read: {error.message.rstrip('.')}"
    return f"what it says of {what} is not what MLflow says"


def _experiments(tracking: Tracking) -> Sequence[dict[str, Any]]:
    asked = {"max_results": _EXPERIMENTS, "order_by": ["last_update_time DESC"]}
    return tracking.call("experiments/search", asked).get("experiments") or []


def _newest(tracking: Tracking, experiments: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    ids = [str(each["experiment_id"]) for each in experiments]
    found = (tracking.call("runs/search", {"experiment_ids": ids, "max_results": 1}).get("runs") or []) if ids else []
    return dict(found[0]) if found else None
