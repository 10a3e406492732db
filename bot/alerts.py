"""What Alertmanager's notifications come to: one message a group, its thread begun with the health check that fits.

A notification is taken in steps of which each happens once, however often it is delivered: the group changes together
with its words, the check of its thread is accepted under the message's id, a crowd knows its members. So one that broke
off in between is made whole by the next delivery.

Many groups at once share one message (a storm), and during maintenance a note in its thread is all that is said.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from commands import alert_commands, grammar, policy
from workers.engine import queues
from workers.operation import Operation
from workers.operations.alerts import group as groups
from workers.operations.alerts import message
from workers.operations.alerts.group import Crowd, Group
from workers.operations.alerts.show import AlertsList
from workers.operations.alerts.store import ATTEMPTS, AlertStore, Busy, Said
from workers.operations.commands import maintenance
from workers.records import audit_log
from workers.records.message import draft
from workers.records.record import Phase, Record, new_id
from workers.records.requester import BY_ALERT
from workers.records.store import RECORD_SECONDS, Records
from workers.redaction import cleaned
from workers.rendering import message as render

if TYPE_CHECKING:
    from redis import Redis

    from workers.operations.alerts.notification import Notification
    from workers.settings import Ops

_log = structlog.get_logger(__name__)


class Alerts:
    """What notifications come to. clock: seconds since the epoch."""

    def __init__(self, ops: Ops, redis: Redis, *, clock: Callable[[], float] = time.time) -> None:
        self._ops = ops
        self._redis = redis
        self._clock = clock
        self._keeping = AlertStore(redis)
        self._records = Records(redis)

    def take(self, told: Notification) -> None:
        """Keep a notification and say what is new. Raises RedisError; Busy, to be tried again."""
        for _ in range(ATTEMPTS):
            now = self._clock()
            raw, known = self._keeping.group(groups.identify(told.group_key))
            group = self._now(known, told, now)
            if group is None:
                return
            if group == known:
                self._keeping.heard_of(group, now)
                break
            records = () if known and group.records == known.records else self._new_records(group)
            said = self._said(group, known, records)
            if self._keeping.swap(raw, group, now, records, *said, moment=_moment(group, known)):
                break
        else:
            raise Busy
        self._beside(group, now)

    def release(self) -> list[str]:
        """After a maintenance: give what it held, and still fires, a message. The ids of those groups."""
        if maintenance.current(self._redis) is not None:
            return []
        released = []
        for group_id in self._keeping.held():
            raw, known = self._keeping.group(group_id)
            if known is not None and known.crowd and known.over is None:
                now = self._clock()
                group = self._placed(known.model_copy(update={"crowd": ""}), now)
                records = self._new_records(group)
                said = self._said(group, None, records)
                if not self._keeping.swap(raw, group, now, records, *said, moment=_moment(group, None)):
                    continue
                self._beside(group, now)
                released.append(group_id)
            self._keeping.let_go(group_id)
        return released

    def fade(self) -> list[str]:
        """Say in the message of what fires that nothing was told of it for long. The ids of those groups."""
        now = self._clock()
        faded = []
        for group_id, heard in self._keeping.unheard(now - self._ops.alerts.unheard_hours * 3600):
            raw, known = self._keeping.group(group_id)
            if known is None:
                self._keeping.forget(group_id)
                continue
            group = known.model_copy(update={"unheard_since": heard})
            if self._keeping.swap(raw, group, heard, (), *self._keeping.words(group)):
                faded.append(group_id)
        return faded

    def _now(self, known: Group | None, told: Notification, now: float) -> Group | None:
        """The group after a notification; None where nobody needs to hear of it."""
        if known is not None and (not told.firing or groups.goes_on(known, told, now)):
            return groups.changed(known, told, now)
        if not told.firing:
            _log.info("a group has ended that nobody was told of", group=told.name)
            return None
        fits = alert_commands.fit(told.name, told.annotation("command"), self._ops)
        return self._placed(groups.new(told, check=fits.check, offers=fits.offers, now=now), now)

    def _placed(self, group: Group, now: float) -> Group:
        """The same, with where it is told: messages of its own, or a crowd's."""
        during = maintenance.current(self._redis)
        if during is not None:
            return group.model_copy(update={"crowd": f"held{during.record_id}"})
        if self._keeping.may_begin(group.id, self._ops.alerts.storm_above, now):
            return group.model_copy(update={"records": tuple(new_id() for _ in self._channels())})
        return group.model_copy(update={"crowd": self._keeping.storm(f"storm{new_id()}")})

    def _channels(self) -> tuple[str, ...]:
        return self._ops.alerts.channels or self._ops.channels[:1]

    def _new_records(self, group: Group) -> tuple[Record, ...]:
        if group.crowd:
            return ()
        listed = AlertsList(group=group.id)
        offered = tuple(each.command for each in group.offers)
        made = zip(group.records, self._channels(), strict=True)
        return tuple(self._record(record_id, group.name, channel, listed, offered) for record_id, channel in made)

    def _record(
        self, record_id: str, name: str, channel: str, shown: AlertsList, offers: tuple[str, ...] = ()
    ) -> Record:
        """Of a message that no command stands behind: it has ended when it begins."""
        words_ = f"alerts list {shown.group}".rstrip()
        made = policy.record_of(shown, words_, BY_ALERT + name, channel, self._ops)
        return made.model_copy(
            update={"id": record_id, "phase": Phase.DONE, "offers": offers, "accepted_at": self._clock()}
        )

    def _said(self, group: Group, known: Group | None, records: tuple[Record, ...]) -> list[Said]:
        if records:
            return [(record.id, draft("root", message.group(group, record))) for record in records]
        replies = []
        if known is not None and known.over is None and group.over is not None:
            replies.append(message.ended(group))
        if known is not None and group.times > known.times:
            replies.append(message.again(group))
        return self._keeping.words(group, *replies)

    def _beside(self, group: Group, now: float) -> None:
        """What follows from a group that stands in Redis; all of it once, however often it is called."""
        if group.crowd:
            self._count(group, now)
            if group.crowd.startswith("held"):
                self._keeping.hold(group.id)
        elif group.over is None and group.check:
            for record_id in group.records:
                self._look(group, record_id)

    def _look(self, group: Group, record_id: str) -> None:
        """Run the check that fits, in the message's thread."""
        above = self._records.get(record_id)
        request = grammar.parse(group.check)
        if above is None or not isinstance(request, Operation):
            return
        if policy.lacks(above.requester, request, self._ops, lambda _group: frozenset()):
            _log.warning("not looked at: an alert may ask for no more than a viewer", group=group.id, check=group.check)
            return
        made = policy.record_of(request, group.check, above.requester, above.channel, self._ops)
        record = made.model_copy(update={"beneath": record_id})
        asked = render.asked(record.words, record.requester)
        if queues.accept(record, f"alert:{record_id}", asked, self._redis, remember_seconds=RECORD_SECONDS):
            _log.info("an alert", group=group.id, name=group.name, operation_id=record.id)

    def _count(self, group: Group, now: float) -> None:
        for _ in range(ATTEMPTS):
            raw, known = self._keeping.crowd(group.crowd)
            if known is None:
                crowd, records = self._new_crowd(group.crowd, now)
                crowd = groups.counted(crowd, group, now)
                said = [(record.id, draft("root", message.crowd(crowd))) for record in records]
            else:
                crowd, records = groups.counted(known, group, now), ()
                said = [(record_id, draft("edit", message.crowd(crowd))) for record_id in crowd.records]
            if crowd == known or self._keeping.swap(raw, crowd, now, records, *said):
                if crowd.kind == "storm" and (known is None or crowd.latest > known.latest):
                    self._keeping.storms_on()
                return
        raise Busy

    def _new_crowd(self, crowd_id: str, now: float) -> tuple[Crowd, tuple[Record, ...]]:
        held = crowd_id.startswith("held")
        channels = self._channels()[: 1 if held else None]
        name = "held" if held else "storm"
        records = tuple(self._record(new_id(), name, channel, AlertsList()) for channel in channels)
        if held:
            beneath = self._records.get(crowd_id.removeprefix("held"))
            if beneath is not None:
                update = {"beneath": beneath.id, "channel": beneath.channel}
                records = tuple(record.model_copy(update=update) for record in records)
        crowd = Crowd(
            id=crowd_id,
            kind="held" if held else "storm",
            records=tuple(record.id for record in records),
            began=now,
            latest=now,
            members={},
            names={},
        )
        return crowd, records


def _moment(group: Group, known: Group | None) -> str:
    """What the audit record, and with it an open incident, keeps of a change; nothing of one alert among many."""
    if group.crowd:
        return ""
    if known is None or group.times > known.times:
        what = audit_log.ALERT
    elif known.over is None and group.over is not None:
        what = audit_log.ALERT_RESOLVED
    else:
        return ""
    text = f"{group.name}: {group.summary}" if group.summary else group.name
    return json.dumps(cleaned({"what": what, "id": group.id, "text": text}), ensure_ascii=False)
