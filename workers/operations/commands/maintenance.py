"""Maintenance: announced and pinned, scheduled work and alarms held until it ends, and it ends by itself.

    maintenance   who began it, why and until when; there while it lasts

The scheduler asks `current` before it lets an entry fire: what fell due meanwhile is caught up once, afterwards.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from workers.engine import locks
from workers.errors import AlreadySo
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.records.keys import PREFIX
from workers.records.message import Message, draft
from workers.records.outbox import Outbox
from workers.records.record import Record
from workers.records.store import Records
from workers.rendering.blocks import plain, section, short
from workers.report import Facts, Report, Status
from workers.settings import cron
from workers.wording import as_typed, duration

if TYPE_CHECKING:
    from redis import Redis

    from workers.settings import Ops
    from workers.systems import Systems

TARGET: Final = "maintenance"
_KEY: Final = PREFIX + TARGET
_WORDS: Final = "maintenance end"

_END = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
"""


class Maintenance(BaseModel):
    """One that lasts. record_id: of the command that began it. until: seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record_id: str
    reason: str
    began_at: float
    until: float


def current(redis: Redis) -> Maintenance | None:
    """The one that lasts now. Raises redis.exceptions.RedisError."""
    raw: Any = redis.get(_KEY)
    found = Maintenance.model_validate_json(raw) if raw else None
    return found if found is not None and found.until > time.time() else None


def end(redis: Redis, why: str, *, only_over: bool = False) -> Maintenance | None:
    """End it, unpin its notice and say why in its thread; None where there is none. only_over: if its time is over."""
    raw: Any = redis.get(_KEY)
    if not raw:
        return None
    known = Maintenance.model_validate_json(raw)
    if only_over and known.until > time.time():
        return None
    if not redis.register_script(_END)(keys=[_KEY], args=[raw]):
        return None
    text = f":white_check_mark: The maintenance is over: {plain(why)}."
    said = Message(text=short(f"The maintenance is over: {why}"), blocks=[section(text)])
    Outbox(redis).push(known.record_id, draft("unpin", said), draft("reply", said))
    return known


def window(ops: Ops, now: datetime) -> datetime | None:
    """Until when one of ops.yaml's windows is open; None where none is."""
    ends = [cron.last(each.cron, ops.zone, now) + timedelta(minutes=each.minutes) for each in ops.maintenance.windows]
    return max((moment for moment in ends if moment > now), default=None)


class StartMaintenance(Operation):
    """Announce maintenance. seconds: after which it ends by itself."""

    name: ClassVar[str] = "maintenance-start"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (TARGET,)

    reason: Annotated[str, Field(min_length=3, max_length=300)]
    seconds: Annotated[float, Field(ge=60, le=7 * 86_400)] = 7200

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Maintenance"

    def plan(self, systems: Systems) -> Plan:
        """Raises AlreadySo where there is one."""
        _refuse_second(systems.redis)
        return Plan(
            title=self.title,
            summary=f"for {duration(self.seconds)}: {self.reason}",
            steps=(
                "Pin a notice in this channel",
                "Pause scheduled jobs and alerts",
                f"After {duration(self.seconds)}, end by itself",
            ),
            changes=(Change(what="maintenance", before="off", after="on"),),
            undo=f"/mlflow {_WORDS}",
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Begin it."""
        progress.step("Beginning the maintenance", of="Pause ")
        now = time.time()
        record_id = locks.holder(systems.redis, TARGET) or ""
        begun = Maintenance(record_id=record_id, reason=self.reason, began_at=now, until=now + self.seconds)
        end(systems.redis, "its time was over", only_over=True)
        if not systems.redis.set(_KEY, begun.model_dump_json(), nx=True):
            _refuse_second(systems.redis)
        until = datetime.fromtimestamp(begun.until, systems.settings.ops.zone)
        facts = Facts(items=(("why", self.reason), ("until", f"{until:%a %d %b %H:%M %Z}")))
        return Report(
            title=self.title,
            status=Status.WARN,
            summary=f"{self.reason}. Until {until:%H:%M %Z} scheduled jobs and alerts are paused.",
            sections=(facts,),
            undo=_WORDS,
            pinned=True,
        )


class EndMaintenance(Operation):
    """End it now."""

    name: ClassVar[str] = "maintenance-end"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (TARGET,)

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Maintenance"

    def plan(self, systems: Systems) -> Plan:
        """Raises AlreadySo where there is none."""
        known = current(systems.redis)
        if known is None:
            raise AlreadySo("There is no maintenance.", "Nothing to do.")
        return Plan(
            title=self.title,
            summary="ends now",
            steps=("Unpin the notice", "Resume scheduled jobs and alerts"),
            changes=(Change(what="maintenance", before="on", after="off"),),
            undo=f"/mlflow maintenance start {as_typed(known.reason)}",
            facts={"command": known.record_id},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """End it."""
        progress.step("Ending the maintenance", of="Resume ")
        known = end(systems.redis, "it was ended")
        if known is None:
            return Report(title=self.title, status=Status.OK, summary="It had ended meanwhile.")
        lasted = duration(time.time() - known.began_at)
        summary = f"It is over after {lasted}. What fell due meanwhile is caught up now, once."
        return Report(title=self.title, status=Status.OK, summary=summary, hints=("health",))


def _refuse_second(redis: Redis) -> None:
    known = current(redis)
    if known is None:
        return
    began: Record | None = Records(redis).get(known.record_id)
    by = f" (id {began.id})" if began else ""
    until = datetime.fromtimestamp(known.until, UTC)
    message = f"There is maintenance already, until {until:%H:%M} UTC: {known.reason}{by}."
    raise AlreadySo(message, "End it first: /mlflow maintenance end.")
