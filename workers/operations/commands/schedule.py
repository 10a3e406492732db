"""What runs by the clock, as people see and steer it: when each entry was last due, what came of it, and pausing one.

    schedule          hash: entry → its last tick, epoch seconds
    schedule:runs     hash: entry → JSON: the record of its latest tick, the tick, how often it was repeated
    schedule:paused   hash: entry → JSON: the command that paused it, and when

The scheduler (bot/process/scheduler.py) writes the first two and heeds the third. What falls due while an entry is
paused is left out; once it goes on, it begins with the next tick.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from workers.engine import locks
from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.records.keys import PREFIX
from workers.records.store import Records
from workers.report import Report, Status, Table
from workers.settings import cron
from workers.wording import NOTHING, count, nearest

if TYPE_CHECKING:
    from redis import Redis

    from workers.settings import Ops, ScheduleEntry
    from workers.systems import Systems

LAST: Final = PREFIX + "schedule"
RUNS: Final = LAST + ":runs"
PAUSED: Final = LAST + ":paused"

_TARGET: Final = "schedule"
_OUTCOME = 60


def paused(redis: Redis) -> dict[str, dict[str, Any]]:
    """The entries that are paused: by which command (`by`) and when (`at`)."""
    raw: Any = redis.hgetall(PAUSED)
    return {name.decode(): json.loads(body) for name, body in raw.items()}


def entry(name: str, ops: Ops) -> ScheduleEntry:
    """The entry of that name. Raises OperatorError that names the nearest."""
    known = ops.clock.get(name)
    if known is None:
        near = nearest(name, ops.clock)
        hint = f"Did you mean {near}?" if near else f"There are: {', '.join(ops.clock) or 'none'}."
        raise OperatorError(f"There is no scheduled job called {name}.", hint)
    return known


@dataclass(frozen=True)
class EntryState:
    """What is known of an entry. Times are UTC.

    next_at: None where it is paused. last_at: when it was due, None where it never was. record_id: of what it did then.
    """

    name: str
    entry: ScheduleEntry
    next_at: datetime | None
    last_at: datetime | None
    record_id: str


def entry_states(ops: Ops, redis: Redis, now: datetime) -> list[EntryState]:
    """Every entry, in the order of ops.yaml. Raises redis.exceptions.RedisError."""
    last: Any = redis.hgetall(LAST)
    runs: Any = redis.hgetall(RUNS)
    stopped = paused(redis)
    found = []
    for name, each in ops.clock.items():
        key = name.encode()
        ran = key in runs and key in last
        found.append(
            EntryState(
                name=name,
                entry=each,
                next_at=None if name in stopped else cron.next_(each.cron, ops.zone, now),
                last_at=datetime.fromtimestamp(float(last[key]), UTC) if ran else None,
                record_id=json.loads(runs[key])[0] if key in runs else "",
            )
        )
    return found


class ScheduleList(Operation):
    """Every entry: when it was last due and what came of it, when it is due next."""

    name: ClassVar[str] = "schedule-list"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read them from Redis."""
        progress.step("Looking")
        ops = systems.settings.ops
        known = entry_states(ops, systems.redis, datetime.now(UTC))
        rows = [
            (
                each.name,
                each.entry.command,
                each.entry.cron,
                _shown(each.next_at, ops) if each.next_at else "paused",
                _shown(each.last_at, ops),
                _outcome(each.record_id, systems) if each.record_id else NOTHING,
            )
            for each in known
        ]
        stopped = sum(each.next_at is None for each in known)
        columns = ("name", "command", "when", f"next ({ops.time_zone})", "last due", "what came of it")
        table = Table(columns=columns, rows=tuple(rows))
        held = f"; {stopped} paused" if stopped else ""
        following = [each for each in known if each.next_at]
        soonest = min(following, key=lambda each: each.next_at or 0, default=None)
        then = f". Next: {soonest.name} at {_shown(soonest.next_at, ops)}" if soonest and soonest.next_at else ""
        summary = f"{count(len(rows), 'scheduled job')}{held}{then}."
        if not rows:
            summary = "No scheduled jobs: name channels in ops.yaml."
        hints = ("schedule pause NAME", "schedule run NAME")
        return Report(
            title="Schedule", status=Status.OK, summary=summary, sections=(table,) if rows else (), hints=hints
        )


class SchedulePause(Operation):
    """Leave an entry out until it is resumed; restarts do not forget it. entry: its name."""

    name: ClassVar[str] = "schedule-pause"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (_TARGET,)

    entry: str

    @property
    def title(self) -> str:
        """The report's headline."""
        return f"Pause {self.entry}"

    def plan(self, systems: Systems) -> Plan:
        """Raises AlreadySo where it is paused, OperatorError where there is none."""
        known = entry(self.entry, systems.settings.ops)
        if self.entry in paused(systems.redis):
            raise AlreadySo(
                f"{self.entry} is paused already.", f"It goes on with /mlflow schedule resume {self.entry}."
            )
        return Plan(
            title=self.title,
            summary=f"/mlflow {known.command} ({known.cron}) is left out until it is resumed",
            steps=("Note that it is paused",),
            changes=(Change(what=f"schedule/{self.entry}", before="runs", after="paused"),),
            undo=f"/mlflow schedule resume {self.entry}",
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Note it in Redis."""
        progress.step("Pausing it")
        by = locks.holder(systems.redis, _TARGET) or ""
        systems.redis.hset(PAUSED, self.entry, json.dumps({"by": by, "at": time.time()}))
        summary = f"{self.entry} is left out until someone resumes it."
        return Report(title=self.title, status=Status.OK, summary=summary, undo=f"schedule resume {self.entry}")


class ScheduleResume(Operation):
    """Let a paused entry go on. entry: its name."""

    name: ClassVar[str] = "schedule-resume"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (_TARGET,)

    entry: str

    @property
    def title(self) -> str:
        """The report's headline."""
        return f"Resume {self.entry}"

    def plan(self, systems: Systems) -> Plan:
        """Raises AlreadySo where it is not paused, OperatorError where there is none."""
        known = paused(systems.redis).get(self.entry)
        if known is None:
            entry(self.entry, systems.settings.ops)
            raise AlreadySo(f"{self.entry} is not paused.", "See /mlflow schedule list.")
        return Plan(
            title=self.title,
            summary="it goes on with its next time",
            steps=("Forget that it is paused",),
            changes=(Change(what=f"schedule/{self.entry}", before="paused", after="runs"),),
            undo=f"/mlflow schedule pause {self.entry}",
            facts={"paused by": str(known.get("by", ""))},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Note it in Redis."""
        progress.step("Resuming it")
        ops = systems.settings.ops
        systems.redis.hdel(PAUSED, self.entry)
        known = ops.clock.get(self.entry)
        upcoming = f" Next: {_shown(cron.next_(known.cron, ops.zone, datetime.now(UTC)), ops)}." if known else ""
        return Report(title=self.title, status=Status.OK, summary=f"{self.entry} goes on.{upcoming}")


class ScheduleRun(Operation):
    """Do what an entry does, now. entry: its name.

    The bot takes it for the entry's own command, typed by whoever asks: who may, and whose approval it needs, is
    decided by that.
    """

    name: ClassVar[str] = "schedule-run"
    risk: ClassVar[Risk] = Risk.READ

    entry: str

    def run(self, systems: Systems, progress: Progress) -> Report:
        """From a terminal only. Raises OperatorError that says which command it is."""
        progress.step("Looking")
        command = entry(self.entry, systems.settings.ops).command
        raise OperatorError(f"{self.entry} is the command “{command}”.", f'Run that one: mlflow-ops run "{command}".')


def _shown(at: datetime | None, ops: Ops) -> str:
    return f"{at.astimezone(ops.zone):%a %d %b %H:%M}" if at else NOTHING


def _outcome(record_id: str, systems: Systems) -> str:
    record = Records(systems.redis).get(record_id)
    if record is None:
        return NOTHING
    said = f"{record.phase.value}: {record.outcome}" if record.outcome else record.phase.value
    return said if len(said) <= _OUTCOME else f"{said[: _OUTCOME - 1]}…"
