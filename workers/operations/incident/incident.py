"""An incident until it is over: what was done so far, a note, who is on it, and its end with an account of all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Change, Plan, Risk
from workers.operations.incident import account, paging, store, timeline
from workers.operations.incident.urgent import Urgent
from workers.records.message import Message, draft
from workers.records.outbox import Outbox
from workers.records.record import TERMINAL, Record
from workers.records.store import Records
from workers.rendering import message
from workers.rendering.blocks import paragraphs, plain, section, short, whom
from workers.report import Facts, Lead, Report, Status
from workers.wording import duration

if TYPE_CHECKING:
    from redis import Redis

    from workers.operation import Progress
    from workers.operations.incident.store import Incident
    from workers.systems import Systems

SHOWN: Final = 30


class _OfIncident(Urgent):
    """Something about the open incident."""

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Incident"

    def open(self, systems: Systems) -> Incident:
        """The one that is meant. Raises OperatorError where there is none."""
        known = store.current(systems.redis, store.place(self.caller, systems.settings.ops))
        if known is None:
            raise OperatorError("There is no open incident here.", 'Open one: /mlflow escalate "what happened".')
        return known

    def tell(self, systems: Systems, incident: Incident, emoji: str, said: str, more: str = "") -> None:
        """Say it in the incident's thread, in the name of whoever asks."""
        by = whom(self.known_caller.requester)
        text = f"{emoji} {by} {plain(said)}{f' {plain(more)}' if more else ''}"
        Outbox(systems.redis).push(incident.id, draft("reply", Message(short(said), [section(text)])))


class ShowIncident(_OfIncident):
    """What was done since it was opened."""

    name: ClassVar[str] = "incident-show"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it from the audit record. Raises OperatorError where none is open."""
        progress.step("Reading the record")
        known, zone = self.open(systems), systems.settings.ops.zone
        found = timeline.lines(systems.redis, known)
        leads = [
            Lead(
                text=f"{datetime.fromtimestamp(each.at, zone):%H:%M:%S} {each.what}",
                by=tuple(each.by.split(", ")) if each.by else (),
            )
            for each in found[-SHOWN:]
        ]
        left = len(found) - SHOWN
        if left > 0:
            leads.insert(0, Lead(text=f"{left} earlier lines; the account at its end has all"))
        lasted = duration(datetime.now(UTC).timestamp() - known.began_at)
        return Report(
            title=self.title, status=Status.WARN, summary=f"{known.what}. Open for {lasted}.", lead=tuple(leads)
        )


class NoteIncident(_OfIncident):
    """Add a note to the timeline."""

    name: ClassVar[str] = "incident-note"

    text: Annotated[str, Field(min_length=1, max_length=3000)]

    def plan(self, systems: Systems) -> Plan:
        """Raises OperatorError where none is open."""
        known = self.open(systems)
        return Plan(title=self.title, summary="a note", steps=("Note it",), facts={"incident": known.id})

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Say it in the incident's thread, if this command is not told there itself; the timeline has it from this
        command's outcome.
        """
        progress.step("Noting it")
        known, record = self.open(systems), Records(systems.redis).get(self.known_caller.record_id)
        if record is None or record.beneath != known.id:
            self.tell(systems, known, ":memo:", f"notes: {self.text}")
        return Report(title=self.title, status=Status.OK, summary=f"noted: {self.text}")


class TakeIncident(_OfIncident):
    """Say that one is on it."""

    name: ClassVar[str] = "incident-take"

    def plan(self, systems: Systems) -> Plan:
        """Raises OperatorError where none is open."""
        known = self.open(systems)
        pages = ("Tell PagerDuty",) if systems.settings.environment.pagerduty_key else ()
        return Plan(
            title=self.title, summary="someone is on it", steps=(*pages, "Note it"), facts={"incident": known.id}
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Say it in the incident's thread, and to PagerDuty."""
        if systems.settings.environment.pagerduty_key:
            progress.step("Telling PagerDuty", of="Tell PagerDuty")
        known = self.open(systems)
        paged = paging.acknowledge(systems, known)
        progress.step("Noting it", of="Note it")
        self.tell(systems, known, ":eyes:", "is on it.", f"PagerDuty {paged}" if paged else "")
        facts = (Facts(items=paging.fact(paged)),) if paged else ()
        return Report(title=self.title, status=Status.OK, summary="taken.", sections=facts)


class CloseIncident(_OfIncident):
    """It is over. outcome: what it was."""

    name: ClassVar[str] = "incident-close"

    outcome: Annotated[str, Field(max_length=3000)] = ""

    def plan(self, systems: Systems) -> Plan:
        """Raises OperatorError where none is open."""
        known = self.open(systems)
        pages = ("Tell PagerDuty",) if systems.settings.environment.pagerduty_key else ()
        return Plan(
            title=self.title,
            summary=f"{known.what}: it is over",
            steps=("Close it", *pages, "Put the account of it, as a Markdown file, into its thread"),
            changes=(Change(what="incident", before="open", after="closed"),),
            facts={"incident": known.id},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Close it once, and put the account into its thread. Raises OperatorError where none is open any more."""
        progress.step("Closing it", of="Close it")
        known, redis = self.open(systems), systems.redis
        now, caller = datetime.now(UTC), self.known_caller
        said = timeline.lines(redis, known)
        ending = f"closed the incident{f': {self.outcome}' if self.outcome else ''}"
        said.append(timeline.Line(now.timestamp(), ending, caller.requester))
        file = account.markdown_file(
            known, said, redis, systems.settings.ops, now=now, closed_by=caller.requester, outcome=self.outcome
        )
        if not store.close(redis, known):
            raise OperatorError("Someone else has just closed it.", "Nothing to do.")
        if systems.settings.environment.pagerduty_key:
            progress.step("Telling PagerDuty", of="Tell PagerDuty")
        paged = paging.resolve(systems, known)
        progress.step("Writing the account", of="Put the account")
        lasted = duration(now.timestamp() - known.began_at)
        self.tell(
            systems, known, ":white_check_mark:", f"{ending} (after {lasted}).", f"PagerDuty {paged}" if paged else ""
        )
        over = _over(known, caller.requester, self.outcome, lasted)
        files = [draft("file", each) for each in message.files(self.title, [file])]
        Outbox(redis).push(known.id, draft("unpin", over), draft("edit", over), *files)
        facts = (("lasted", lasted), ("moments", str(len(said))), *paging.fact(paged))
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"{known.what}: {self.outcome or 'it is over'}. Its thread has the account.",
            sections=(Facts(items=facts),),
            attachments=(file,) if caller.channel == TERMINAL else (),
            hints=("health",),
        )


def in_its_thread(record: Record, redis: Redis) -> Record:
    """A note on an incident is told in that incident's thread, and nowhere else. Raises redis.exceptions.RedisError."""
    known = store.current(redis, record.channel) if record.operation == NoteIncident.name else None
    return record.model_copy(update={"beneath": known.id}) if known else record


def _over(incident: Incident, by: str, outcome: str, lasted: str) -> Message:
    """What its first message says from then on; what there was to press is gone."""
    lines = (
        f":white_check_mark: *Incident*, over after {lasted}: {plain(incident.what)}",
        plain(outcome),
        f"_Opened by {whom(incident.by)}, closed by {whom(by)}; the account is in the thread._",
    )
    return Message(short(f"Incident, over: {incident.what}"), paragraphs("\n".join(filter(None, lines))))
