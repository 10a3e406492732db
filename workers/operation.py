"""The words that everything else is written in: Operation, Plan, Progress.

An operation is a request as data; a report is its result as data. Neither knows of Slack, of RQ or of a
terminal, so the same operation runs behind a button, from the clock and from a shell, and tests read the
result without parsing text. Rendering is `workers.rendering`'s; running is `workers.engine`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from workers.errors import AlreadySo
from workers.report import Attachment, Data, Report, Section
from workers.wording import duration

if TYPE_CHECKING:
    from datetime import datetime

    from workers.settings import Ops, RoleName
    from workers.systems import Systems


class Risk(StrEnum):
    """How much an operation can hurt: decides who may ask, and which queue and approvals it takes."""

    READ = "read"
    CHANGE = "change"
    DESTRUCTIVE = "destructive"


class Change(Data):
    """One thing that would be different afterwards ("replicas of deployment/mlflow": "2" → "4")."""

    what: str
    before: str
    after: str


class Call(Data):
    """An operation by its name, with its arguments."""

    operation: str
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class Plan(Data):
    """What would happen, from facts read now; what is approved, and what is made again before it runs.

    steps: what is done, in order. changes: before → after. warnings: what whoever approves should know.
    undo: how to go back, as a sentence or a command. facts: what the plan rests on, such as resourceVersions and
    image names; a figure that moves by itself (a latency, a clock) does not belong there. sections: more to look at.
    attachments: files for its thread; they are not kept with the plan, so what they say must follow from the facts.
    instead: what is run in the operation's place once that is approved, such as a proposal in Git; None: itself.
    seen: `at`, when it was made, for whoever tells later what a run whose worker died has left; nothing rests on it.
    """

    title: str
    summary: str
    steps: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    undo: str = ""
    estimate_seconds: float | None = None
    sections: tuple[Section, ...] = ()
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    attachments: tuple[Attachment, ...] = Field(default=(), exclude=True)
    instead: Call | None = None
    seen: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 over steps, changes, facts and `instead`, in hexadecimal: equal where the same would happen."""
        rests_on: list[JsonValue] = [list(self.steps), [change.model_dump() for change in self.changes], self.facts]
        if self.instead is not None:
            rests_on.append(self.instead.model_dump(mode="json"))
        return hashlib.sha256(json.dumps(rests_on, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def difference(self, now: Plan) -> str:
        """What is another in a plan that was made later, in a sentence or more; empty where both would do the same."""
        if now.digest == self.digest:
            return ""
        old = {change.what: change for change in self.changes}
        new = {change.what: change for change in now.changes}
        told = [
            f"{what}: planned {_arrow(old.get(what))}, now {_arrow(new.get(what))}."
            for what in {**old, **new}
            if old.get(what) != new.get(what)
        ]
        told += [
            f"{name} was {self.facts.get(name)}, now {now.facts.get(name)}."
            for name in {**self.facts, **now.facts}
            if self.facts.get(name) != now.facts.get(name)
        ]
        return " ".join(told[:_SHOWN_DIFFERENCES]) or "The steps have changed."


_SHOWN_DIFFERENCES = 5


def _arrow(change: Change | None) -> str:
    return f"{change.before} → {change.after}" if change else "no change"


class Cancelled(BaseException):
    """Raised by `Progress.checkpoint` where somebody asked the operation to stop.

    left: what the stopped operation has left, as a sentence; for those that clean up.
    """

    def __init__(self, left: str = "") -> None:
        super().__init__(left)
        self.left = left


class Later(BaseException):
    """Raised if the rest waits for somebody outside, perhaps for days: no worker and no lock waits with it.

    then: the operation that goes on; it only looks, and raises this again if it is too early still. step: what is shown
    meanwhile, and url where to see it. of: as in `Progress.step`; the planned steps before that one are done. seconds:
    after how many; 0: at once, as work that takes its time.
    """

    def __init__(self, then: Call, step: str, seconds: float, url: str = "", of: str = "") -> None:
        super().__init__(step)
        self.then = then
        self.step = step
        self.of = of
        self.seconds = seconds
        self.url = url


class Progress(Protocol):
    """How a running operation speaks, and where it hears that it was cancelled."""

    def step(self, name: str, of: str = "") -> None:
        """A new step begins; `name` says what is being done ("Asking eleven systems").

        of: words of the step of its plan to which it belongs; without, it belongs to the one that is under way, and is
        told by itself where none is.
        """

    def advance(self, done: int, total: int, unit: str) -> None:
        """So much of the current step is done, of `total` or, where that is 0, of nobody knows how much.

        Called as often as convenient; shown at a bearable rate.
        """

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """The step that is under way has come to its end: what came of it ("65 tables, 3,682 rows"), and whether well.

        Only for steps of which there is that to say: the next step ends the one before it, and so does the end.
        """

    def checkpoint(self) -> None:
        """A point at which stopping is safe. Raises Cancelled where a stop was asked for."""


def how_far(done: int, total: int, unit: str) -> str:
    """What `Progress.advance` was told, in words: 3 of 10 sets; 3 sets so far."""
    return f"{done:,} of {total:,} {unit}" if total else f"{done:,} {unit} so far"


PACE_SECONDS = 3.0
"""A rate measured over less than these is none."""


def pace(done: int, total: int, unit: str, seconds: float) -> str:
    """How fast, and how long it will take yet, after " · "; empty where it is too early to say."""
    if seconds < PACE_SECONDS or done <= 0:
        return ""
    rate = done / seconds
    left = f", {duration((total - done) / rate)} left" if total > done else ""
    return f" · {rate:,.0f} {unit}/s{left}" if rate >= 1 else left.replace(",", " ·", 1)


class Unwatched:
    """The progress of an operation that nobody watches and nobody stops: in a script, in a test."""

    def step(self, name: str, of: str = "") -> None:
        """Say nothing."""

    def advance(self, done: int, total: int, unit: str) -> None:
        """Say nothing."""

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Go on."""


class Within:
    """The progress of an operation that another one runs as one of its steps: its steps are of that one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def step(self, name: str, of: str = "") -> None:  # noqa: ARG002 - of its own plan
        """Told, but of no other step of the plan."""
        self._progress.step(name)

    def advance(self, done: int, total: int, unit: str) -> None:
        """As it is."""
        self._progress.advance(done, total, unit)

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """The step goes on."""

    def checkpoint(self) -> None:
        """As it is."""
        self._progress.checkpoint()


_PLANNING: ContextVar[Progress] = ContextVar("planning")


@contextmanager
def planned_with(progress: Progress) -> Iterator[None]:
    """Whoever makes a plan within this is told, and may stop, through this progress."""
    token = _PLANNING.set(progress)
    try:
        yield
    finally:
        _PLANNING.reset(token)


def planning() -> Progress:
    """The progress of the plan that is being made; nobody's where nobody watches."""
    return _PLANNING.get(Unwatched())


class Caller(Data):
    """Who asked for an operation, where, and the id of its record; once it runs, its words and who approved, too."""

    record_id: str
    requester: str
    channel: str
    words: str = ""
    approvers: tuple[str, ...] = ()


class Operation(BaseModel):
    """One request, frozen and JSON-serialisable: class attributes say what kind, fields say with what.

    A subclass sets `name` (unique; what the record in Redis and the audit trail call it) and `risk`, and
    implements `run`; one that changes something also implements `plan`. `touches` are the locks that it takes, and
    `timeout_seconds` bounds its run in the worker. `approvers` is how many people must approve it where it is gated and
    ops.yaml says nothing. `goes_on` says why it cannot be cancelled, where it cannot. `long` work belongs on the queue
    `ops` although it only reads. What is `urgent` waits for nobody: for no approval, whatever ops.yaml says, and not
    behind a backup, so it runs on the queue `quick` although it changes something. `resumes`: may be stopped at any
    checkpoint and run again without anybody's word, by another worker; it finds what was done, or begins anew where it
    only reads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    risk: ClassVar[Risk]
    touches: ClassVar[tuple[str, ...]] = ()
    timeout_seconds: ClassVar[int] = 60
    long: ClassVar[bool] = False
    resumes: ClassVar[bool] = False
    approvers: ClassVar[int] = 1
    goes_on: ClassVar[str] = ""
    urgent: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return self.name.replace("-", " ").capitalize()

    def asked_by(self, caller: Caller) -> Operation:  # noqa: ARG002 - for those to which it matters
        """The same, knowing who asks for it and where."""
        return self

    def needs(self, ops: Ops) -> RoleName | None:  # noqa: ARG002 - for those that say so
        """The role of whoever may ask for it; None where that follows from its risk."""
        return None

    def calls(self, ops: Ops, now: datetime) -> tuple[str, ...]:  # noqa: ARG002 - for those that call somebody
        """Whom its first message calls: ids of Slack users and groups, from ops.yaml, never from what was typed."""
        return ()

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - for those that judge by ops.yaml
        """Whether a second person must approve it, where ops.yaml says nothing of it."""
        return self.risk is Risk.DESTRUCTIVE

    def plan(self, systems: Systems) -> Plan:
        """What it would do, changing nothing. Raises OperatorError where it cannot be done at all."""
        raise NotImplementedError

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it. Raises OperatorError for what a person can act on, Cancelled at a checkpoint."""
        raise NotImplementedError

    def carried_out(self, systems: Systems, planned: Plan) -> str:  # noqa: ARG002 - for those that see it otherwise
        """That it had been done although its worker died, in a sentence; empty where not. Raises OperatorError."""
        try:
            self.plan(systems)
        except AlreadySo as done:
            return done.message
        return ""

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """What a run whose worker died has left, in a sentence or two. Raises AlreadySo where all was done, and
        OperatorError where nobody knows.
        """
        try:
            difference = planned.difference(self.plan(systems))
        except AlreadySo as done:
            return f"It had been carried out: {done.message}"
        return f"It had begun: {difference}" if difference else "Nothing had been changed."
