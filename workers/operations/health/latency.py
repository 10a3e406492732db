"""How quickly MLflow answers, measured from a worker through the Service, as `ab -n 100 -c 10` would.

It is a measurement and no load test: how much it asks is bounded by ops.yaml, one runs at a time, it stops where MLflow
fails from the start, and only MLflow's own host is ever asked.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.choices import HEALTH_PATH
from workers.operations.history import metrics
from workers.operations.history.recording import typical
from workers.report import Chart, Facts, Line, Report, Section, Status, Table
from workers.wording import NOTHING, count, milliseconds, share, thousands

if TYPE_CHECKING:
    from workers.settings import Ops
    from workers.systems import Systems
    from workers.systems.mlflow.tracking import Tracking

ANSWER_SECONDS: Final = 10.0
_FIRST: Final = 10
_BAR: Final = 24
_ROWS: Final = 8
_LOOK_SECONDS: Final = 0.1
_FAILURE: Final = 400
_PLAIN: Final = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


def _own(path: str) -> str:
    """A path of the server itself: an address, or what a client could take for one, is refused."""
    if not _PLAIN.fullmatch(path) or "/../" in f"{path.partition('?')[0]}/":
        msg = f"must be a path of MLflow's own server that begins with one slash, such as {HEALTH_PATH}"
        raise ValueError(msg)
    return path


class Latency(Operation):
    """Ask one path so many times, so many at once, and tell the percentiles."""

    name: ClassVar[str] = "latency"
    risk: ClassVar[Risk] = Risk.READ
    touches: ClassVar[tuple[str, ...]] = ("latency",)
    long: ClassVar[bool] = True
    timeout_seconds: ClassVar[int] = 400

    requests: Annotated[int, Field(ge=1)] = 100
    concurrency: Annotated[int, Field(ge=1)] = 10
    path: Annotated[str, AfterValidator(_own), Field(max_length=500)] = HEALTH_PATH

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Measure. Raises OperatorError where it is more than ops.yaml allows, or where nothing answers."""
        self._bounded(systems.settings.ops)
        tracking = systems.tracking.within(ANSWER_SECONDS).afresh()
        at_once = min(self.concurrency, self.requests)
        progress.step(f"Asking {tracking.address}{self.path} {self.requests} times, {at_once} at a time")
        seconds_at_most = systems.settings.ops.latency.seconds_at_most
        found = measure(tracking, self.path, self.requests, progress, at_once=at_once, seconds_at_most=seconds_at_most)
        if not found.seconds:
            raise found.errors[0]
        report = self._report(
            found, tracking, systems.settings.ops.health.thresholds.tracking_p95_warn_seconds, at_once
        )
        if self.path != HEALTH_PATH:
            return report
        return _beside(report, typical(systems.settings, metrics.BY_NAME["latency"].figure, datetime.now(UTC)))

    def _bounded(self, ops: Ops) -> None:
        for what, asked, most in (
            ("requests", self.requests, ops.latency.requests_at_most),
            ("concurrency", self.concurrency, ops.latency.concurrency_at_most),
        ):
            if asked > most:
                raise OperatorError(
                    f"--{what} {asked:,} would be a load test; at most {most:,} are allowed.",
                    f"Ask for less, or raise latency.{what}_at_most in ops.yaml.",
                )

    def _report(self, found: Measured, tracking: Tracking, slow: float, at_once: int) -> Report:
        failed = found.failed
        p50, p90, p95, p99 = (found.percentile(percent) for percent in (50, 90, 95, 99))
        rate = found.asked / found.took_seconds if found.took_seconds else 0.0
        facts = (
            ("asked", f"GET {tracking.address}{self.path}, {count(found.asked, 'request')}, {at_once} at a time"),
            ("p50 / p90", f"{milliseconds(p50)} / {milliseconds(p90)}"),
            ("p95 / p99", f"{milliseconds(p95)} / {milliseconds(p99)}"),
            ("quickest / slowest", f"{milliseconds(min(found.seconds))} / {milliseconds(max(found.seconds))}"),
            ("requests a second", f"{rate:,.1f}"),
            ("errors", f"{failed:,} ({share(failed / found.asked)})" if failed else "none"),
            (
                "answers",
                ", ".join(f"{number:,} x {status}" for status, number in found.statuses.most_common()) or NOTHING,
            ),
        )
        summary = (
            f"p50 {milliseconds(p50)}, p95 {milliseconds(p95)}, p99 {milliseconds(p99)}; {rate:,.0f} requests a second"
        )
        status = Status.WARN if p95 >= slow or found.cut else Status.OK
        if failed:
            status = Status.FAIL if failed == found.asked else Status.WARN
            first = f": {found.errors[0].message}" if found.errors else "."
            summary = f"{failed:,} of {count(found.asked, 'request')} failed{first} {summary}"
        if found.cut:
            summary = f"{summary} (stopped after {count(found.asked, 'request')}: {found.cut})"
        counted = _histogram(found.seconds)
        sections: tuple[Section, ...] = (Facts(items=facts), _table(counted), _chart(counted))
        question = "/api/2.0/mlflow/experiments/search?max_results=1"
        hints = (f"latency --path {question}",) if self.path == HEALTH_PATH else ("health mlflow",)
        end = "" if summary.endswith(".") else "."
        return Report(title="Latency", status=status, summary=f"{summary}{end}", sections=sections, hints=hints)


def _beside(report: Report, last_week: tuple[float, int]) -> Report:
    """The report with what is typical, which was measured with one request at a time."""
    seconds, number = last_week
    if not number:
        return report
    facts = report.sections[0]
    assert isinstance(facts, Facts)
    told = f"p95 {milliseconds(seconds)}, the median of {count(number, 'health check')}, one request at a time"
    facts = facts.model_copy(update={"items": (*facts.items, ("last week", told))})
    summary = f"{report.summary} Typical last week: p95 {milliseconds(seconds)}."
    return report.model_copy(update={"summary": summary, "sections": (facts, *report.sections[1:])})


@dataclass
class Measured:
    """seconds: of each request that was answered, whatever the answer. cut: why it stopped early."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: list[OperatorError] = field(default_factory=list)
    took_seconds: float = 0.0
    cut: str = ""

    @property
    def asked(self) -> int:
        """All requests that ended."""
        return len(self.seconds) + len(self.errors)

    @property
    def failed(self) -> int:
        """Those without an answer, and those that were answered with an error."""
        return len(self.errors) + sum(number for status, number in self.statuses.items() if status >= _FAILURE)

    def percentile(self, percent: int) -> float:
        """The smallest time that so many percent of the answers did not exceed (nearest rank)."""
        ranked = sorted(self.seconds)
        return ranked[max(0, -(-percent * len(ranked) // 100) - 1)]


def measure(  # noqa: PLR0913 - what, how much, and who is told
    tracking: Tracking, path: str, requests: int, progress: Progress, *, at_once: int, seconds_at_most: float
) -> Measured:
    """Ask. Raises Cancelled."""
    found, lock, stopping = Measured(), threading.Lock(), threading.Event()
    tickets = itertools.count()
    began = time.perf_counter()
    ends = began + seconds_at_most

    def keep_asking() -> None:
        while not stopping.is_set() and next(tickets) < requests:
            if time.perf_counter() > ends:
                found.cut = f"{seconds_at_most:g} s were over"
                return
            at = time.perf_counter()
            try:
                status = tracking.knock(path)
            except OperatorError as error:
                with lock:
                    found.errors.append(error)
            else:
                with lock:
                    found.seconds.append(time.perf_counter() - at)
                    found.statuses[status] += 1
            if found.failed >= _FIRST and found.failed == found.asked:
                found.cut = f"the first {_FIRST} failed"
                stopping.set()

    with ThreadPoolExecutor(at_once, thread_name_prefix="latency") as pool:
        futures = [pool.submit(keep_asking) for _ in range(at_once)]
        try:
            _watch(lambda: all(each.done() for each in futures), found, requests, progress)
        finally:
            stopping.set()
    for each in futures:
        each.result()
    found.took_seconds = time.perf_counter() - began
    return found


def _watch(done: Callable[[], bool], found: Measured, requests: int, progress: Progress) -> None:
    while not done():
        progress.checkpoint()
        progress.advance(found.asked, requests, "requests")
        time.sleep(_LOOK_SECONDS)


def _histogram(seconds: list[float]) -> list[tuple[float, int]]:
    """How many took up to how long: bounds that grow, so that a long tail takes few rows."""
    longest = max(seconds)
    bounds = [min(seconds) * 1.25]
    while bounds[-1] < longest and len(bounds) < _ROWS:
        bounds.append(bounds[-1] * 1.6)
    bounds[-1] = max(bounds[-1], longest)
    numbers = [0] * len(bounds)
    for each in seconds:
        numbers[next(at for at, bound in enumerate(bounds) if each <= bound)] += 1
    return list(zip(bounds, numbers, strict=True))


def _chart(counted: list[tuple[float, int]]) -> Chart:
    """The same to be seen, in the channel."""
    labels = tuple(f"≤ {milliseconds(bound)}" for bound, _ in counted)
    requests = Line(name="requests", values=tuple(float(number) for _, number in counted))
    return Chart(title="Requests by time", shape="bar", labels=labels, lines=(requests,), in_sight=True)


def _table(counted: list[tuple[float, int]]) -> Table:
    most = max(number for _, number in counted)
    rows = tuple(
        (milliseconds(bound), thousands(number), "█" * (round(_BAR * number / most) or int(number > 0)))
        for bound, number in counted
    )
    return Table(title="How many within", columns=("up to", "requests", ""), rows=rows, numeric=("up to", "requests"))
