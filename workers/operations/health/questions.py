"""Asking many systems at once, each within its own time, none able to hurt another's answer.

Every question runs in a daemon thread. One that has not answered at its deadline is abandoned: its thread lives on
until its gateway gives up, and its check says that nobody answered. What it would ask beside that then is over before
it begins, and nobody is told of it: it is no bug. What a question raises becomes its check:
an OperatorError is a failure in its own words, a missing setting is `unknown`, anything else is our bug, logged with
an id. The only broad `except` of the health check stands here; RQ's JobTimeoutException reaches the job's main
thread only, which catches nothing.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from workers.errors import OperatorError
from workers.report import Check, Offer, Section, Status, Text
from workers.settings import SettingsError
from workers.systems.errors import Unreachable

if TYPE_CHECKING:
    from workers.settings import Health as HealthSettings
    from workers.settings import KubernetesNames, Settings, Thresholds
    from workers.systems import Systems
    from workers.systems.cluster.client import Cluster

PATIENCE = 0.8
"""The share of a deadline that a gateway may be silent: its own sentence says more than "did not answer"."""
BEGIN = 0.1
"""The share of a deadline within which all questions count as begun at once."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a question found out, and what `workers.operations.health.root_cause` needs to know of a failure.

    own_fault: no other system explains it. unreachable: nobody answered, so it says nothing of what was asked.
    offers: what a person may do about it, with a button each.
    """

    status: Status
    sentence: str
    figure: str = ""
    details: tuple[Section, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    own_fault: bool = False
    unreachable: bool = False
    took_seconds: float = 0.0
    offers: tuple[Offer, ...] = ()


@dataclass(frozen=True)
class Question:
    """One check. name: stable, as it is typed. title: what people call it. subject: whom it asks.

    look_further: the command that a person would type next. spokesman: the check that is to be red when `subject`
    is unreachable. asked_first: it takes longest. rests_on: the checks whose failure explains a failure of this one.
    command: what to ask us next, after /mlflow.
    """

    name: str
    title: str
    subject: str
    ask: Callable[[Asking], Answer]
    look_further: Callable[[Settings], str]
    spokesman: str = ""
    asked_first: bool = False
    rests_on: tuple[str, ...] = ()
    command: str = ""

    def check(self, answer: Answer, settings: Settings) -> Check:
        """The answer as a check of a report."""
        return Check(
            name=self.name,
            title=self.title,
            status=answer.status,
            figure=answer.figure,
            sentence=answer.sentence,
            look_further=self.look_further(settings),
            command=self.command,
            details=answer.details,
            figures=answer.figures,
            notes=answer.notes,
            took_seconds=answer.took_seconds,
        )


class Asking:
    """What a question is given: the systems, the settings, the time, and help with asking more than one at once."""

    def __init__(self, systems: Systems, deadline_seconds: float, now: datetime | None = None) -> None:
        self.systems = systems
        self.deadline_seconds = deadline_seconds
        self.now = now or datetime.now(UTC)
        self._began = time.monotonic()
        self._pool = ThreadPoolExecutor(max_workers=24, thread_name_prefix="health")
        self._pods: Future[list[dict[str, Any]]] | None = None
        self._lock = threading.RLock()
        self._closed = False

    @property
    def settings(self) -> Settings:
        """Everything that the process was told."""
        return self.systems.settings

    @property
    def health(self) -> HealthSettings:
        """How health is asked."""
        return self.settings.ops.health

    @property
    def thresholds(self) -> Thresholds:
        """When a figure becomes a warning."""
        return self.health.thresholds

    @property
    def names(self) -> KubernetesNames:
        """What things are called in the cluster."""
        return self.settings.ops.kubernetes

    @property
    def patience(self) -> float:
        """Seconds that a gateway may be silent from now on, so that its own sentence still comes in time.

        The same for all that begin within a tenth of the deadline, so that they say the same of the same.
        """
        late = time.monotonic() - self._began - self.deadline_seconds * BEGIN
        return max(0.05, self.deadline_seconds * PATIENCE - max(0.0, late))

    @property
    def left(self) -> float:
        """Seconds until the deadline, with a little kept back for saying so."""
        return max(0.05, self.deadline_seconds * 0.95 - (time.monotonic() - self._began))

    @property
    def cluster(self) -> Cluster:
        """Kubernetes, with a check's patience."""
        return self.systems.cluster.within(round(self.patience, 1))

    def pods(self) -> list[dict[str, Any]]:
        """MLflow's pods, asked for once however many checks need them."""
        with self._lock:
            if self._pods is None:
                self._pods = self.aside(lambda: self.cluster.pods(self.names.selector))
        return self._pods.result(timeout=self.left)

    def aside(self, call: Callable[[], Any]) -> Future[Any]:
        """Start something beside the question; read it with `.result(timeout=asking.left)`.

        Raises TimeoutError once the report is made: whoever asks then was abandoned at its deadline.
        """
        with self._lock:
            if self._closed:
                message = "the report is made"
                raise TimeoutError(message)
            return self._pool.submit(call)

    def close(self) -> None:
        """Let threads that are idle go; those that hang are left behind."""
        with self._lock:
            self._closed = True
            self._pool.shutdown(wait=False, cancel_futures=True)


def ask_all(questions: Sequence[Question], asking: Asking) -> Iterator[tuple[Question, Answer]]:
    """Ask all at once; yields each answer as it comes, and at the deadline those that did not."""
    came: queue.SimpleQueue[tuple[Question, Answer]] = queue.SimpleQueue()
    began = time.monotonic()
    for question in sorted(questions, key=lambda each: not each.asked_first):
        # With what this thread's log lines bear: the operation's id.
        told = contextvars.copy_context()
        arguments = (_ask, question, asking, came)
        threading.Thread(target=told.run, args=arguments, name=f"check {question.name}", daemon=True).start()
    missing = {question.name: question for question in questions}
    while missing:
        left = began + asking.deadline_seconds - time.monotonic()
        try:
            question, answer = came.get(timeout=max(0.0, left))
        except queue.Empty:
            break
        del missing[question.name]
        yield question, answer
    for question in missing.values():
        yield question, _late(question, asking.deadline_seconds)


def _ask(question: Question, asking: Asking, came: queue.SimpleQueue[tuple[Question, Answer]]) -> None:
    began = time.perf_counter()
    try:
        answer = question.ask(asking)
    except SettingsError as error:
        answer = Answer(Status.UNKNOWN, str(error), figure="not configured")
    except OperatorError as error:
        answer = _failure(error)
    except (TimeoutError, CancelledError):  # too late, or abandoned at its deadline
        answer = _late(question, asking.deadline_seconds)
    except Exception:  # noqa: BLE001 - see above: a bug in one check must not cost the other ten
        incident = uuid.uuid4().hex[:8]
        _log.exception("health check crashed", check=question.name, incident=incident)
        sentence = f"Something unexpected happened in this check (id {incident}); the workers' log has the details."
        answer = Answer(Status.UNKNOWN, sentence)
    came.put((question, replace(answer, took_seconds=time.perf_counter() - began)))


def _failure(error: OperatorError) -> Answer:
    unreachable = isinstance(error, Unreachable)
    details = (Text(text=error.hint),) if error.hint else ()
    return Answer(Status.FAIL, error.message, details=details, own_fault=not unreachable, unreachable=unreachable)


def _late(question: Question, deadline_seconds: float) -> Answer:
    sentence = f"{question.subject} did not answer within {deadline_seconds:g} s."
    return Answer(Status.FAIL, sentence, unreachable=True, took_seconds=deadline_seconds)
