"""What the App Home shows, per person: health, what waits, what runs, what may be asked for, backups, scheduled jobs.

Each button is drawn only where policy would let this person press it; pressing it asks policy again. Times are given
to Slack as moments and never as "5 minutes ago", so the page is the same until something has changed. Everything from
outside is escaped, and each list is bounded, as the blocks of a view are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from bot.home import figures
from bot.modals.asking import FORMS as FORMS_KNOWN
from commands import grammar, policy
from workers import registry
from workers.operation import Operation, Plan
from workers.operations.digest import todo
from workers.operations.health import QUESTIONS
from workers.records.record import Phase
from workers.rendering import buttons, message, proposals
from workers.rendering.blocks import (
    Block,
    actions,
    at,
    button,
    code,
    context,
    divider,
    header,
    home,
    link,
    plain,
    section,
    whom,
)
from workers.report import Status
from workers.wording import count, duration, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from workers.operations.commands.overview import Health, Overview, Running
    from workers.operations.commands.schedule import EntryState
    from workers.operations.incident.store import Incident
    from workers.records.record import Record
    from workers.settings import Ops

ASK: Final = "ask-"
"""What the actions that ask for a command begin with."""
ANYTHING: Final = "ask-for-anything"
FORMS: Final = {f"ask-for-{each.name.removeprefix('form-')}": each for each in FORMS_KNOWN}
"""Buttons that open a form, by their actions."""
THREAD: Final = "open-thread"
"""A link; Slack tells of a press on it all the same."""
USUAL: Final = {
    "health": ("Check health", "health"),
    "backup": ("Back up now", "backup"),
    "jobs": ("Jobs", "jobs"),
    "digest": ("Digest", "digest"),
    "backups": ("Backups", "backup list"),
    "status": ("Status", "status"),
    "schedule": ("Schedule", "schedule list"),
}
"""By name: a button's label, and the command that it asks for."""
ASKS: Final = {f"{ASK}{name}": shown for name, shown in (USUAL | todo.COMMANDS).items()}
_TITLES: Final = {question.name: question.title for question in QUESTIONS}
_MOST: Final = 8
_LINES: Final = 15
_WORDS: Final = 80
_OUTCOME: Final = 160
_OLD: Final = timedelta(hours=2)
"""The clock asks each hour by default."""
_BAR: Final = 10
_AGO: Final = "{ago}"
_WHEN: Final = "{date_short_pretty} {time}"
_PHASES: Final = {
    Phase.ACCEPTED: ":hourglass_flowing_sand: accepted",
    Phase.QUEUED: ":hourglass_flowing_sand: waiting for a worker",
    Phase.APPROVED: ":hourglass_flowing_sand: approved, waiting for a worker",
    Phase.PENDING: ":hourglass: waiting for approval",
    Phase.RUNNING: ":hourglass_flowing_sand: running",
    Phase.PROPOSED: ":hourglass: proposed, waiting for its merge",
    Phase.DONE: ":white_check_mark: done",
    Phase.FAILED: ":x: failed",
    Phase.DENIED: ":no_entry: denied",
    Phase.EXPIRED: ":alarm_clock: expired",
    Phase.CANCELLED: ":octagonal_sign: stopped",
}


@dataclass(frozen=True)
class Person:
    """For whom it is drawn, and by which rules. asked_last: the channel where they typed something last."""

    user: str
    ops: Ops
    members: policy.Members
    asked_last: str = ""

    @property
    def role(self) -> str | None:
        """The highest role."""
        return policy.role_of(self.user, self.ops, self.members)

    def stranger(self) -> str:
        """Why this person sees nothing; empty where they may look."""
        first = self.ops.channels[0] if self.ops.channels else ""
        refused = policy.refusal_here(self.user, first, self.ops, self.members)
        return refused.sentence if refused else ""

    def may_ask(self, words: str) -> bool:
        """Whether policy would take this command from them, in the channel where it would be asked."""
        wanted = grammar.parse(words)
        if not isinstance(wanted, Operation):
            return False
        place = channel_for(wanted, self.asked_last, self.ops)
        return policy.refusal(self.user, place, wanted, self.ops, self.members) is None


def usual_channel(asked_last: str, ops: Ops) -> str:
    """Where a command from a Home is asked: where this person asked last, else the first. Some must be elsewhere."""
    return asked_last if asked_last in ops.channels else ops.channels[0]


def channel_for(operation: Operation, asked_last: str, ops: Ops) -> str:
    """Where this command from a Home is asked: where policy wants it, else in the usual channel."""
    return policy.approval(operation, ops).channel or usual_channel(asked_last, ops)


def view(
    person: Person, seen: Overview | None, now: datetime, incidents: Sequence[tuple[Incident, str]] = ()
) -> dict[str, Any]:
    """The Home of one person. seen: how everything stands; not looked at for somebody without a role. incidents: those
    that are open, each with where its thread is.
    """
    said = person.stranger()
    blocks = [section(f":lock: {said}")] if said or seen is None else _blocks(person, seen, now, incidents)
    return home(blocks)


def _blocks(person: Person, seen: Overview, now: datetime, incidents: Sequence[tuple[Incident, str]]) -> list[Block]:
    person = replace(person, asked_last=seen.mine[0].channel if seen.mine else "")
    parts = [
        _now(seen, incidents),
        _health(person, seen.health, now),
        _waiting(person, seen.waiting),
        _running(person, seen.running),
        [*_asking(person), *_mine(seen.mine)],
        _backups(person, seen),
        _schedule(seen.schedule),
        [context(f"You are {person.role} here. Approvers: {policy.who_may('approver', person.ops)}.")],
    ]
    shown: list[Block] = []
    for part in parts:
        if part:
            shown += [divider(), *part] if shown else part
    return shown


def _now(seen: Overview, incidents: Sequence[tuple[Incident, str]]) -> list[Block]:
    """What comes before all else: an open incident, a maintenance."""
    lines = []
    for incident, thread in incidents:
        what = f"*Incident* in <#{incident.channel}>: {plain(_cut(incident.what))}"
        by = f"opened by {whom(incident.by)} {at(incident.began_at, _AGO)}"
        place = f" · {link('thread', thread)}" if thread else ""
        lines.append(f":rotating_light: {what} · {by}{place}")
    if seen.maintenance:
        reason = f": {plain(_cut(seen.maintenance.reason))}" if seen.maintenance.reason else ""
        until = at(seen.maintenance.until, _WHEN)
        lines.append(f":construction: *Maintenance* until {until}{reason}. Scheduled jobs and alerts are paused.")
    return [section("\n".join(lines))] if lines else []


def _health(person: Person, health: Health | None, now: datetime) -> list[Block]:
    if health is None:
        return [header("MLflow"), section(":grey_question: *No health check yet.* Press Check health to run one.")]
    ill = health.ill
    said = f"*{count(health.asked, 'check')} OK*"
    if ill:
        names = ", ".join(_title(name) for name, _, _ in ill[:3])
        more = f" and {len(ill) - 3} more" if len(ill) > 3 else ""  # noqa: PLR2004 - as many as a headline bears
        said = f"*{names}{more}*; {health.asked - len(ill)} of {count(health.asked, 'check')} OK"
    head = f"{message.EMOJI[health.status]} {said} · measured {at(health.at.timestamp(), _AGO)}"
    if now - health.at > _OLD:
        head += "\n:warning: That's more than 2 h ago. Is the scheduler running?"
    blocks = [header("MLflow"), section(head)]
    for name, status, sentence in ill[:_MOST]:
        line = section(f"{message.EMOJI[status]} *{_title(name)}*: {plain(sentence) or status.value}")
        action = f"{ASK}{name}"
        if name in todo.COMMANDS and person.may_ask(ASKS[action][1]):
            line["accessory"] = button(action, ASKS[action][0])
        blocks.append(line)
    return [*blocks, *figures.shown(health)]


def _waiting(person: Person, waiting: tuple[Record, ...]) -> list[Block]:
    blocks = [section(f":hourglass: *{count(len(waiting), 'command')} waiting for approval*")] if waiting else []
    for record in waiting[:_MOST]:
        may_decide = policy.refusal_to_decide(person.user, record, person.ops, person.members) is None
        shown = [buttons.APPROVE, buttons.DENY] if may_decide else []
        shown += [buttons.WITHDRAW] if person.user == record.requester else []
        row = [buttons.element(record, each) for each in (*shown, buttons.DETAILS)]
        row += [button(THREAD, "Open its thread", url=record.permalink)] if record.permalink else []
        blocks += [*proposals.brief(Plan.model_validate(record.plan), record), actions(row)]
    return [*blocks, *_more(len(waiting))]


def _running(person: Person, running: tuple[Running, ...]) -> list[Block]:
    blocks = [section(f":hourglass_flowing_sand: *{count(len(running), 'command')} running*")] if running else []
    for each in running[:_MOST]:
        record = each.record
        state = plain(" ".join(filter(None, (each.step, each.figure)))) or _PHASES[record.phase].partition(": ")[2]
        text = f"{code('/mlflow ' + record.words)} by {whom(record.requester)} in {_place(record)}\n{state}"
        line = section(f"{text}\n{_bar(each.share)}" if each.share is not None else text)
        refused = policy.refusal_to_cancel(person.user, record, person.ops, person.members)
        kind = registry.operations().get(record.operation)
        if refused is None and kind is not None and not kind.goes_on:
            line["accessory"] = buttons.element(record, buttons.CANCEL)
        blocks.append(line)
    return [*blocks, *_more(len(running))]


def _asking(person: Person) -> list[Block]:
    usual = [button(f"{ASK}{name}", label) for name, (label, words) in USUAL.items() if person.may_ask(words)]
    usual += [button(name, asked.label) for name, asked in FORMS.items() if person.may_ask(asked.sample)]
    where = usual_channel(person.asked_last, person.ops)
    return [
        section(f"*Run a command*: the answer goes to <#{where}>, as if you'd typed it there."),
        actions([*usual, button(ANYTHING, "Something else …")]),
    ]


def _mine(mine: tuple[Record, ...]) -> list[Block]:
    lines = [
        f"{_PHASES[each.phase]}: {code('/mlflow ' + _cut(each.words))} in {_place(each)}, {at(each.accepted_at, _AGO)}"
        for each in mine
    ]
    return [section("\n".join(["*Your last commands*", *lines]))] if lines else []


def _backups(person: Person, seen: Overview) -> list[Block]:
    lines = _measured(seen.health, person.ops) if seen.health else []
    lines += [_made(each) for each in seen.backups]
    return [section("\n".join(["*Backups*", *(lines or ["No backups yet."])]))]


def _measured(health: Health, ops: Ops) -> list[str]:
    """The last good set and the last drill, as the check of the backups found them."""
    lines = []
    made, drilled = health.ago("backup.age_seconds"), health.ago("backup.drill_age_seconds")
    if made:
        verdict = next((status for name, status, _ in health.ill if name == "backup"), Status.OK)
        allowed = duration(ops.health.thresholds.backup_age_fail_seconds)
        when = at(made.timestamp(), _WHEN)
        lines.append(f"{message.EMOJI[verdict]} Last good set: {when} ({allowed} allowed)")
    if drilled:
        well = bool(health.figures.get("backup.drill_well"))
        how = f"restored in {duration(health.figures.get('backup.restore_seconds', 0.0))}" if well else "*failed*"
        mark = message.EMOJI[Status.OK if well else Status.WARN]
        lines.append(f"{mark} Last drill: {at(drilled.timestamp(), _WHEN)}, {how}")
    return lines


def _made(record: Record) -> str:
    said = f": {plain(_cut(record.outcome, _OUTCOME))}" if record.outcome else ""
    return f"{_PHASES[record.phase]} {at(record.ended_at, _WHEN)}, asked by {whom(record.requester)}{said}"


def _schedule(schedule: tuple[EntryState, ...]) -> list[Block]:
    lines = []
    for each in schedule[:_LINES]:
        due = f"next {at(each.next_at.timestamp(), _WHEN)}" if each.next_at else ":double_vertical_bar: paused"
        lines.append(f"*{plain(each.name)}* {code('/mlflow ' + _cut(each.entry.command))} {due}")
    return [section("\n".join(["*Scheduled jobs*", *lines])), *_more(len(schedule), _LINES)] if lines else []


def _place(record: Record) -> str:
    return f"<#{record.channel}>" + (f" ({link('thread', record.permalink)})" if record.permalink else "")


def _bar(share: float) -> str:
    full = round(share * _BAR)
    return f"{'▰' * full}{'▱' * (_BAR - full)} {share * 100:.0f} %"


def _more(number: int, most: int = _MOST) -> list[Block]:
    return [context(f"and {number - most} more: {code('/mlflow jobs')}")] if number > most else []


def _title(name: str) -> str:
    return plain(_TITLES.get(name, name))


def _cut(words: str, most: int = _WORDS) -> str:
    return shortened(words, most)
