"""One accepted command, where it is on its way, and how it ended. workers.records.store keeps it."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from workers.redaction import cleaned

if TYPE_CHECKING:
    from workers.records.message import Draft

TERMINAL = "terminal"
"""In the place of a channel, and of a worker: of a command that is carried out in a terminal."""


class Phase(StrEnum):
    """Where a command is on its way: pending waits for approvers, proposed for somebody outside; `done` and all that
    follows are ends.
    """

    ACCEPTED = "accepted"
    QUEUED = "queued"
    PENDING = "pending"
    APPROVED = "approved"
    RUNNING = "running"
    PROPOSED = "proposed"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True where nothing more will happen."""
        return self in _ENDS


_ENDS = frozenset({Phase.DONE, Phase.FAILED, Phase.DENIED, Phase.EXPIRED, Phase.CANCELLED})


class Stage(StrEnum):
    """What a job does with a record. Each is begun once. look: at what a run whose worker died has left."""

    PLAN = "plan"
    RUN = "run"
    LOOK = "look"


def new_id() -> str:
    """An id for a record, short enough to be typed: 40 random bits, as RQ allows them in job ids."""
    return secrets.token_hex(5)


class Record(BaseModel):
    """One accepted command. Times are seconds since the epoch.

    approvals: how many people must approve it. approvers: those who may, as Slack shows them; asks_in_person: ids of
    those of them (people, groups) who are asked in a direct message too. expires_at: until when they may. plan and
    digest: what they approve. break_glass: why nobody was asked. reason: why it was denied.
    undo: the command that goes back, once it is done. offers: the commands of its buttons.
    quiet: nothing is said unless it fails. beneath: the record in whose thread it is told, and thread_ts, that thread.
    closed: why Slack let nothing be posted in its channel. calls: the ids of those whom its first message calls.
    handovers: how often its stage went to another worker. continuation: the operation that goes on with it, with its
    arguments, where it waited for somebody outside; look_at: when to look again; looks: how often that was.
    token: of the claim that holds (see workers.records.scripts). doubted: since when Redis may have lost what became of
    it; resumes: the fields with which it goes on where it is found that nothing did. more: how many like it, by
    the same person, have its answer too. refused: it could not be done as asked, so nothing was begun, and no
    system has failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default_factory=new_id)
    operation: str
    arguments: dict[str, Any]
    words: str
    requester: str
    channel: str
    phase: Phase = Phase.ACCEPTED
    root_ts: str | None = None
    beneath: str = ""
    thread_ts: str | None = None
    permalink: str = ""
    closed: str = ""
    accepted_at: float = Field(default_factory=time.time)
    approvals: int = 0
    expires_at: float | None = None
    plan: dict[str, Any] | None = None
    digest: str | None = None
    approvers: str = ""
    asks_in_person: tuple[str, ...] = ()
    decided_by: tuple[str, ...] = ()
    decided_at: float | None = None
    reason: str = ""
    break_glass: str = ""
    quiet: bool = False
    calls: tuple[str, ...] = ()
    undo: str = ""
    offers: tuple[str, ...] = ()
    queue: str | None = None
    stage: Stage = Stage.RUN
    queued_at: float | None = None
    queued_times: int = 0
    handovers: int = 0
    continuation: dict[str, Any] | None = None
    look_at: float | None = None
    looks: int = 0
    token: str = ""
    doubted: float | None = None
    resumes: dict[str, Any] | None = None
    more: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    worker: str | None = None
    outcome: str | None = None
    refused: bool = False

    @property
    def thread(self) -> str | None:
        """The thread that it is told in: below its own message, unless that stands in another's."""
        return self.thread_ts or self.root_ts

    @property
    def fields(self) -> list[str]:
        """As it is kept: names and values in turn."""
        return [part for pair in as_kept(self.model_dump(mode="json")).items() for part in pair]

    @property
    def turn(self) -> str:
        """Its stage, and which worker's turn it is: what one worker claims, and one job does."""
        return f"{self.stage}-{self.handovers}" if self.handovers else str(self.stage)


@dataclass(frozen=True)
class Ending:
    """How a command ended. outcome: in a sentence. messages: the last that are said about it, the first one first.
    refused: as in a record.
    """

    phase: Phase
    outcome: str
    messages: tuple[Draft, ...] = ()
    refused: bool = False


def as_kept(fields: dict[str, Any]) -> dict[Any, Any]:
    """Fields of a record as Redis keeps them: JSON, without any secret that we know of."""
    return {name: json.dumps(cleaned(value)) for name, value in fields.items()}
