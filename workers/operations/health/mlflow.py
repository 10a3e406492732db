"""MLflow itself: does it answer, can it reach its database, and how fast is it.

`/health` says OK with the database gone, so the question that counts is a search for experiments, and after it one read
of a run, a metric and a model (reading.py). Where only that search fails, MLflow is up and something behind it is not:
the PostgreSQL check is then the red one (`rests_on`).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.health import reading
from workers.operations.health.questions import Answer, Question
from workers.operations.health.reading import Read
from workers.report import Facts, Status, Text
from workers.systems.errors import TrackingError, TrackingTimeout, TrackingUnavailable
from workers.wording import count, milliseconds

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.mlflow.tracking import Tracking

CONCURRENCY: Final = 4


@dataclass(frozen=True)
class Burst:
    """What a short burst of requests met. found: the experiment that they found, as MLflow tells of it."""

    seconds: tuple[float, ...]
    refused: tuple[OperatorError, ...]
    found: tuple[dict[str, Any], ...] = ()

    def percentile(self, percent: int) -> float:
        """The smallest time that so many percent of the requests did not exceed (nearest rank)."""
        ranked = sorted(self.seconds)
        return ranked[max(0, -(-percent * len(ranked) // 100) - 1)]


def ask(asking: Asking) -> Answer:
    """A burst of questions that need the database, and the version beside it."""
    tracking = asking.systems.tracking.within(round(asking.patience * 0.75, 1))
    version = asking.aside(partial(_version, tracking))
    burst = _burst(asking, tracking.afresh())
    if not burst.seconds:
        if isinstance(burst.refused[0], TrackingTimeout | TrackingUnavailable):
            return _behind(asking, burst.refused[0])
        raise burst.refused[0]
    said = version.result(timeout=asking.left)
    # One question waits for the one before: on a kept connection each takes 40 ms more.
    patient = tracking.within(max(0.1, round(asking.left * 0.8, 1))).afresh()
    runs = asking.aside(partial(reading.runs, patient, burst.found))
    models = asking.aside(partial(reading.models, patient))
    seen = reading.together(runs.result(timeout=asking.left), models.result(timeout=asking.left))
    return judge(burst, said, asking.settings, tracking.address, seen)


def judge(burst: Burst, version: str, settings: Settings, address: str, seen: Read = Read(())) -> Answer:  # noqa: B008
    """From a burst that was answered at least once; `version` is "unknown" where MLflow does not tell it.

    seen: what was read of runs, metrics and models.
    """
    asked = len(burst.seconds) + len(burst.refused)
    facts = [
        ("address", address),
        ("version", version),
        ("burst", f"{count(asked, 'request')}, {CONCURRENCY} at a time"),
    ]
    p50, p95, p99 = (burst.percentile(percent) for percent in (50, 95, 99))
    facts += [("p50", milliseconds(p50)), ("p95", milliseconds(p95)), ("p99", milliseconds(p99))]
    facts += seen.facts
    status, sentence = Status.OK, f"MLflow {version} answers; p95 is {milliseconds(p95)}."
    if seen.trouble:
        status, sentence = Status.FAIL, f"MLflow {version} answers, but {seen.trouble}."
    elif burst.refused:
        status, sentence = (
            Status.WARN,
            f"MLflow failed {len(burst.refused)} of {asked} requests: {burst.refused[0].message}",
        )
    elif p95 >= settings.ops.health.thresholds.tracking_p95_warn_seconds:
        status, sentence = Status.WARN, f"MLflow is slow: p95 is {milliseconds(p95)}."
    return Answer(
        status,
        sentence,
        figure=f"p95 {milliseconds(p95)}",
        details=(Facts(items=tuple(facts)),),
        figures={
            "p50_seconds": p50,
            "p95_seconds": p95,
            "p99_seconds": p99,
            "requests": float(asked),
            "failed_requests": float(len(burst.refused)),
        },
        notes={"version": (version,)},
    )


def _behind(asking: Asking, error: TrackingError) -> Answer:
    """The search failed or hung: is it MLflow, or what stands behind it?"""
    tracking = asking.systems.tracking.within(max(0.1, round(asking.left * 0.5, 1)))
    try:
        alive = tracking.health() == "OK"
    except TrackingError:
        alive = False
    details = (Text(text=error.message),)
    if alive:
        sentence = f"MLflow at {tracking.address} is up but cannot reach its database."
        return Answer(Status.FAIL, sentence, "no database", details)
    return Answer(Status.FAIL, error.message, unreachable=isinstance(error, TrackingTimeout))


def _version(tracking: Tracking) -> str:
    try:
        return tracking.version()
    except OperatorError:
        return "unknown"


def _burst(asking: Asking, tracking: Tracking) -> Burst:
    ends = time.monotonic() + asking.health.burst_seconds
    tickets = itertools.count()
    wanted = asking.health.burst_requests
    found: list[dict[str, Any]] = []

    def keep_asking() -> tuple[list[float], list[OperatorError]]:
        times: list[float] = []
        refused: list[OperatorError] = []
        # Each thread asks at least once, so that there is a figure however slow MLflow is.
        while next(tickets) < wanted and (time.monotonic() < ends or not (times or refused)):
            began = time.perf_counter()
            try:
                found[:] = tracking.search_experiments()
            except OperatorError as error:
                refused.append(error)
            else:
                times.append(time.perf_counter() - began)
        return times, refused

    futures = [asking.aside(keep_asking) for _ in range(CONCURRENCY)]
    results: Sequence[tuple[list[float], list[OperatorError]]] = [
        future.result(timeout=asking.left) for future in futures
    ]
    return Burst(
        seconds=tuple(second for times, _ in results for second in times),
        refused=tuple(error for _, refused in results for error in refused),
        found=tuple(found),
    )


def _look(settings: Settings) -> str:
    uri = settings.environment.mlflow_tracking_uri
    base = "$MLFLOW_TRACKING_URI" if uri is None or uri.username else str(uri).rstrip("/")
    return f'curl -sS -w " %{{http_code}} %{{time_total}} s" "{base}/api/2.0/mlflow/experiments/search?max_results=1"'


QUESTION = Question("mlflow", "MLflow", "MLflow", ask, _look, asked_first=True, rests_on=("postgres",), command="logs")
