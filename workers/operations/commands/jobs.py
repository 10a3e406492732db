"""What runs, what waits and what was done lately; and stopping one of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from workers import registry
from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.records import people
from workers.records.record import TERMINAL, Phase, Record, Stage
from workers.records.requester import BY_TERMINAL
from workers.records.store import Records
from workers.rendering import thread
from workers.rendering.blocks import plain, whom
from workers.report import Links, Report, Section, Status, Table
from workers.wording import count, duration, linked

if TYPE_CHECKING:
    from workers.systems import Systems

_WORDS = 40


class Jobs(Operation):
    """List commands: those that have not ended, then the latest that have. last: how many of these."""

    name: ClassVar[str] = "jobs"
    risk: ClassVar[Risk] = Risk.READ

    last: Annotated[int, Field(ge=0, le=100)] = 10

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read them from Redis."""
        progress.step("Looking")
        records = Records(systems.redis)
        recent = records.recent(self.last + 100)
        met = map(records.get, dict.fromkeys([*recent, *reversed(records.open())]))
        known = [record for record in met if record and record.operation != self.name]
        still = [record for record in known if not record.phase.ended]
        ended = [record for record in known if record.phase.ended][: self.last]
        now, called = time.time(), people.names(systems.redis, (record.requester for record in known))
        sections: tuple[Section, ...] = tuple(
            Table(title=title, columns=("id", "command", "who", "state", "since"), rows=rows, spare=("since", "who"))
            for title, rows in (("Now", _rows(still, now, called)), ("Lately", _rows(ended, now, called)))
            if rows
        )
        placed = [record for record in (*still, *ended) if record.permalink]
        if placed:
            links = tuple((f"{record.id} {_short(record.words)}", record.permalink) for record in placed)
            sections = (*sections, Links(title="Threads", items=links))
        summary = f"{count(len(still), 'command')} running or queued." if still else "Nothing running or queued."
        return Report(title="Commands", status=Status.OK, summary=summary, sections=sections)


class Cancel(Operation):
    """Stop a command: one that waits at once, one that runs at its next safe point. id: as `jobs` shows it."""

    name: ClassVar[str] = "cancel"
    risk: ClassVar[Risk] = Risk.READ

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{10}$")]

    def run(self, systems: Systems, progress: Progress) -> Report:
        """From a terminal only: in Slack it is the bot that looks at who asks."""
        progress.step("Asking it to stop")
        records = Records(systems.redis)
        record = records.get(self.id)
        if record is None or record.phase.ended:
            raise OperatorError(f"There is no command {self.id} that could be stopped.", "See mlflow-ops run jobs.")
        return Report(title="Cancel", status=Status.OK, summary=stop(record, f"{BY_TERMINAL}an administrator", records))


def stop(record: Record, user: str, records: Records) -> str:
    """End what waits at once, and ask what runs to stop at its next safe point: what to tell whoever asked.

    What is proposed in Git is no longer followed, and stays as it is.
    user: who asked, as a record's requester. Raises OperatorError that says why it cannot be stopped.
    """
    if record.phase is Phase.QUEUED and (record.stage is Stage.LOOK or record.doubted is not None):
        raise OperatorError("It can't be stopped: what it has left is being looked at.", "It ends by itself.")
    begun = record.handovers > 0 and record.stage is Stage.RUN
    left = "between two workers: what was done until then stays." if begun else "before anything was done."
    ending = thread.cancellation(record, f"stopped by {whom(user)} {left}")
    ending = replace(ending, outcome=f"cancelled by {user}")
    for waits in (Phase.ACCEPTED, Phase.PENDING, Phase.QUEUED, Phase.APPROVED):
        if records.finish(record.id, ending, before=waits, as_read=record):
            return "It is stopped; what was done until then stays." if begun else "It is stopped; nothing was done."
    seen = plain(str(records.step(record.id).get("step") or ""))
    ending = thread.cancellation(record, f"left alone, as {whom(user)} asked. Last seen: {seen}")
    if records.finish(record.id, replace(ending, outcome=f"cancelled by {user}"), before=Phase.PROPOSED):
        return "It isn't followed any more. What it proposed stays as it is: close it where it is open."
    if record.channel == TERMINAL:
        by = record.requester.removeprefix(BY_TERMINAL)
        raise OperatorError(f"It runs in a terminal: {by} can stop it there with Ctrl-C.", "")
    goes_on = registry.operations()[record.operation].goes_on
    if goes_on:
        raise OperatorError(f"It cannot be stopped: {goes_on}.", "")
    records.ask_to_stop(record.id, user)
    return "It runs; it will stop at its next safe point and say so in its thread."


def _short(words: str) -> str:
    return words if len(words) <= _WORDS else f"{words[: _WORDS - 1]}…"


def _rows(records: list[Record], now: float, called: Callable[[str], str]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            linked(record.id, record.permalink),
            record.words,
            called(record.requester),
            record.phase.value,
            duration(max(0.0, now - (record.ended_at or record.started_at or record.accepted_at))),
        )
        for record in records
    )
