"""Somebody needs help: whoever is on call is called, and an incident is opened with what they will want to see.

The call itself stands in the command's first message (`Operation.calls`), which the bot posts before any worker has
begun: it comes also where no worker lives. What follows here never stops for what is ill: what cannot be had is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Change, Plan, Within
from workers.operations.commands.jobs import Jobs
from workers.operations.health import Health
from workers.operations.incident import paging, store
from workers.operations.incident.oncall import on_call
from workers.operations.incident.store import Incident
from workers.operations.incident.urgent import Urgent
from workers.operations.logs.show import Logs
from workers.records.message import Message, draft
from workers.records.outbox import Outbox
from workers.records.record import TERMINAL, Phase, Record
from workers.records.store import Records
from workers.rendering import message, thread
from workers.rendering.blocks import plain, section, short, whom
from workers.report import Check, Facts, Offer, Report, Section, Status, Text
from workers.settings import SettingsError
from workers.wording import NOTHING, as_typed

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.settings import Ops
    from workers.systems import Systems

LOG_LINES: Final = 100
OPERATIONS: Final = 10


class Escalate(Urgent):
    """Page the person on call. what: what happened, in the words of whoever calls."""

    name: ClassVar[str] = "escalate"
    timeout_seconds: ClassVar[int] = 150
    goes_on: ClassVar[str] = "the person on call has been paged"

    what: Annotated[str, Field(min_length=3, max_length=3000)]

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Incident"

    def calls(self, ops: Ops, now: datetime) -> tuple[str, ...]:
        """Whoever is on call."""
        return on_call(ops, now).ids

    def plan(self, systems: Systems) -> Plan:
        """The same whoever is on call and whatever is open: nothing that happens before its run may stop it."""
        ops = systems.settings.ops
        whom_ = on_call(ops, datetime.now(UTC))
        unknown = ("ops.yaml names no one on call: see escalation.",) if not whom_.ids else ()
        pages = ("Tell PagerDuty",) if systems.settings.environment.pagerduty_key else ()
        return Plan(
            title=self.title,
            summary=f"calls {whom_.name}: {self.what}",
            steps=("Page the person on call", "Open an incident, or add to the one that is open", *pages,
                   "Look at health, operations and logs, and keep a timeline until it is closed"),
            changes=(Change(what="incident", before=NOTHING, after="open"),),
            warnings=unknown,
            undo="/mlflow incident close",
        )  # fmt: skip

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Open it, page, look around. Raises redis.exceptions.RedisError."""
        # The command's first message calls them.
        progress.step("Paging", of="Page the person")
        progress.step("Opening the incident", of="Open an incident")
        caller, ops, redis = self.known_caller, systems.settings.ops, systems.redis
        now = time.time()
        whom_ = on_call(ops, datetime.fromtimestamp(now, UTC))
        mine = Incident(
            id=caller.record_id,
            channel=store.place(caller, ops),
            what=self.what,
            by=caller.requester,
            began_at=now,
            called=whom_.ids,
            on_call=whom_.name,
            after=store.last_entry(redis),
        )
        incident = store.open_(redis, mine)
        if systems.settings.environment.pagerduty_key:
            progress.step("Telling PagerDuty", of="Tell PagerDuty")
        paged = paging.trigger(systems, incident, self.what, caller.requester)
        if incident.id != mine.id:
            return self._added(incident, systems, paged)
        elsewhere = caller.channel == TERMINAL and mine.channel != TERMINAL
        if elsewhere:
            self._begin_thread(mine, systems)
        report = self._report(mine, systems, progress, paged)
        if elsewhere:
            record = Records(redis).get(mine.id)
            assert record is not None
            Records(redis).update(mine.id, offers=[offer.command for offer in report.offers])
            Outbox(redis).push(mine.id, *thread.success(record, report).messages)
        return report

    def aftermath(self, systems: Systems, planned: Plan) -> str:  # noqa: ARG002 - what is open says it
        """Whether the incident is open."""
        known = store.current(systems.redis, store.place(self.caller, systems.settings.ops))
        return "The incident is open." if known else "No incident was opened."

    def _begin_thread(self, incident: Incident, systems: Systems) -> None:
        """What begins in a terminal has a thread in Slack all the same: those on call are called there."""
        record = Record(
            id=incident.id,
            operation=self.name,
            arguments=self.model_dump(mode="json"),
            words=f"escalate {as_typed(self.what)}",
            requester=incident.by,
            channel=incident.channel,
            phase=Phase.DONE,
            calls=incident.called,
        )
        asked = message.asked(record.words, record.requester)
        Records(systems.redis).keep(record, message.calling(asked, record.calls))

    def _added(self, incident: Incident, systems: Systems, paged: str) -> Report:
        caller = self.known_caller
        said = f":rotating_light: Escalated again by {whom(caller.requester)}: {plain(self.what)}"
        Outbox(systems.redis).push(
            incident.id, draft("reply", Message(short(f"Escalated again: {self.what}"), [section(said)]))
        )
        since = datetime.fromtimestamp(incident.began_at, systems.settings.ops.zone)
        return Report(
            title=self.title,
            status=Status.WARN,
            summary=f"Escalated again: {self.what}. Added to what is open since {since:%H:%M %Z}: {incident.what}.",
            sections=(Facts(items=paging.fact(paged)),) if paged else (),
            hints=("incident show",),
        )

    def _report(self, incident: Incident, systems: Systems, progress: Progress, paged: str) -> Report:
        progress.step("Looking at health, operations and logs", of="Look at health")
        health = Health().run(systems, Within(progress))
        began = datetime.fromtimestamp(incident.began_at, systems.settings.ops.zone)
        facts = Facts(
            items=(
                ("since", f"{began:%a %d %b %H:%M:%S %Z}"),
                ("on call", incident.on_call if incident.called else "ops.yaml names no one: see escalation"),
                *paging.fact(paged),
                ("health", health.summary),
            )
        )
        operations = _had("Operations", lambda: Jobs(last=OPERATIONS).run(systems, progress).sections)
        logs = _had("Logs", lambda: _titled(Logs(tail=LOG_LINES).run(systems, progress)))
        return Report(
            title=self.title,
            status=Status.WARN,
            summary=self.what,
            checks=tuple(_in_short(each) for each in health.checks),
            sections=(facts, *operations, *logs),
            hints=('incident note "…"', "incident show", 'incident close "what it was"'),
            offers=(
                Offer(sentence="Who's on it?", label="I'll take it", command="incident take"),
                Offer(sentence="What was done so far.", label="Timeline", command="incident show"),
            ),
            pinned=True,
        )


def _in_short(check: Check) -> Check:
    """Of what is well a line is enough: whoever is called reads what is not."""
    return check.model_copy(update={"details": ()}) if check.status is Status.OK else check


def _had(what: str, look: Callable[[], tuple[Section, ...]]) -> tuple[Section, ...]:
    """What was found; where it cannot be had, why."""
    try:
        return look()
    except (OperatorError, SettingsError) as error:
        return (Text(title=what, text=f"cannot be had: {error}"),)


def _titled(report: Report) -> tuple[Section, ...]:
    return (Text(title="Logs", text=report.summary), *report.sections)
