"""MLflow itself: does it answer, can it reach its database, and how fast is it.

`/health` says OK with the database gone, so the question that counts is a search for experiments. Three ask at once:
one searches and then reads a run and a metric of what it found, one reads a model (reading.py), one searches, and who
is done asks on for a while. So each kind of question is in the times that are told, and the reads cost no time of
their own. Where all of it fails, MLflow is up and something behind it is not: the PostgreSQL check is then the red one
(`rests_on`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.health import reading
from workers.operations.health.questions import Answer, Question
from workers.operations.health.reading import NOTHING, Read
from workers.report import Facts, Status, Text
from workers.systems.errors import TrackingError, TrackingTimeout, TrackingUnavailable
from workers.wording import count, milliseconds

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.mlflow.tracking import Tracking

CONCURRENCY: Final = 3


@dataclass(frozen=True)
class Burst:
    """What a short burst of requests met. seen: what was read of runs, metrics and models meanwhile."""

    seconds: tuple[float, ...]
    refused: tuple[OperatorError, ...]
    seen: Read = NOTHING

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
    return judge(burst, version.result(timeout=asking.left), asking.settings, tracking.address)


def judge(burst: Burst, version: str, settings: Settings, address: str) -> Answer:
    """From a burst that was answered at least once; `version` is "unknown" where MLflow does not tell it."""
    asked = len(burst.seconds) + len(burst.refused)
    facts = [
        ("address", address),
        ("version", version),
        ("burst", f"{count(asked, 'request')}, {CONCURRENCY} at a time"),
    ]
    p50, p95, p99 = (burst.percentile(percent) for percent in (50, 95, 99))
    facts += [("p50", milliseconds(p50)), ("p95", milliseconds(p95)), ("p99", milliseconds(p99))]
    facts += burst.seen.facts
    status, sentence = Status.OK, f"MLflow {version} answers; p95 is {milliseconds(p95)}."
    if burst.seen.trouble:
        status, sentence = Status.FAIL, f"MLflow {version} answers, but {burst.seen.trouble}."
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
    """Searches and reads, three at a time.

    One question waits for the one before, so it is asked over a new connection: on a kept one each takes 40 ms more.
    """
    ends = time.monotonic() + asking.health.burst_seconds
    took: list[float] = []
    refused: list[OperatorError] = []
    timed = tracking.timed(took)

    def searched() -> list[dict[str, Any]] | None:
        try:
            return timed.search_experiments()
        except OperatorError as error:
            refused.append(error)
            return None

    def patient() -> Tracking:
        return timed.within(max(0.1, round(asking.left * 0.8, 1)))

    def on() -> None:
        while time.monotonic() < ends and len(took) + len(refused) < asking.health.burst_requests:
            searched()

    def runs() -> Read | None:
        found = searched()
        return None if found is None else reading.runs(patient(), found)

    def models() -> Read:
        read = reading.models(timed)
        on()
        return read

    def searches() -> None:
        searched()
        on()

    of_runs, of_models, others = asking.aside(runs), asking.aside(models), asking.aside(searches)
    read, model = of_runs.result(timeout=asking.left), of_models.result(timeout=asking.left)
    others.result(timeout=asking.left)
    if took and read is None:  # what was refused to one was answered to another
        read = reading.runs(patient())
    return Burst(tuple(took), tuple(refused), reading.together(*(each for each in (read, model) if each)))


def _look(settings: Settings) -> str:
    uri = settings.environment.mlflow_tracking_uri
    base = "$MLFLOW_TRACKING_URI" if uri is None or uri.username else str(uri).rstrip("/")
    return f'curl -sS -w " %{{http_code}} %{{time_total}} s" "{base}/api/2.0/mlflow/experiments/search?max_results=1"'


QUESTION = Question("mlflow", "MLflow", "MLflow", ask, _look, asked_first=True, rests_on=("postgres",), command="logs")
