"""A plan in Slack: what would change, who may say yes until when, and the buttons; after the decision, who decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.records.message import Message
from workers.records.record import Phase
from workers.rendering import buttons, plans
from workers.rendering.blocks import (
    BLOCKS,
    SECTION_TEXT,
    Block,
    at,
    code,
    context,
    cut,
    link,
    paragraphs,
    plain,
    section,
    short,
    whom,
)
from workers.rendering.message import blocks_of
from workers.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.operation import Plan
    from workers.records.record import Record

_HEAD = {
    Phase.PENDING: ":hourglass: *Waiting for approval*",
    Phase.APPROVED: ":white_check_mark: *Approved*",
    Phase.QUEUED: ":hourglass_flowing_sand: *Starting*",
    Phase.DENIED: ":no_entry: *Denied*",
    Phase.EXPIRED: ":alarm_clock: *Expired: no one decided in time*",
    Phase.CANCELLED: ":leftwards_arrow_with_hook: *Withdrawn*",
}
_SHOWN_CHANGES = 20
_SHOWN_IN_BRIEF = 5


def proposal(plan: Plan, record: Record) -> Message:
    """The root message of a command whose plan is made. Nothing was changed yet."""
    head = _HEAD.get(record.phase, "")
    by = _people(record)
    if by and record.phase is Phase.PENDING:
        head += f": {len(record.decided_by)} of {record.approvals} so far, {by}"
    elif by:
        head += f" by {by} at {at(record.decided_at)}"
    if record.reason:
        head += f": {plain(record.reason)}"
    if record.break_glass:
        head = f":rotating_light: *Break-glass: no one was asked* ({plain(record.break_glass)})\n{head}"
    blocks = [
        *paragraphs(f"{head}\n*{plain(plan.title)}*: {plain(plan.summary)}"),
        *_changes(plan),
        *paragraphs("\n".join(f":warning: {plain(warning)}" for warning in plan.warnings)),
        *plans.planned(plan.steps),
    ][: BLOCKS - 3]
    blocks.append(context(_foot(plan, record)))
    if record.phase is Phase.PENDING:
        blocks.append(buttons.row(record, buttons.APPROVE, buttons.DENY, buttons.WITHDRAW, buttons.DETAILS))
    elif record.phase in {Phase.DENIED, Phase.EXPIRED}:
        blocks.append(buttons.row(record, buttons.AGAIN))
    return Message(text=short(f"{plan.title}: {record.phase}: {plan.summary}"), blocks=blocks)


def brief(plan: Plan, record: Record) -> list[Block]:
    """What waits for approval, in a few blocks, for a list of such."""
    head = f"*{plain(plan.title)}*: {plain(plan.summary)}"
    if record.decided_by:
        head += f"\n{len(record.decided_by)} of {record.approvals} so far: {_people(record)}"
    warnings = "\n".join(f":warning: {plain(warning)}" for warning in plan.warnings)
    texts = paragraphs(head)[:1] + _changes(plan, _SHOWN_IN_BRIEF)[:1] + paragraphs(warnings)[:1]
    foot = f"{cut(_foot(plan, record), 1900)} · in <#{record.channel}>"
    return [*texts, context(foot)]


def request(plan: Plan, record: Record) -> Message:
    """To the approvers, beneath the plan: a mention notifies where it is posted, and the plan's message is an edit."""
    asked = f"{whom(record.requester)} asks for {code('/mlflow ' + record.words)}: {plain(plan.summary)}"
    text = f"{record.approvers}: {asked}\nApprove or deny it above, {_until(record)}."
    return Message(text=cut(text, SECTION_TEXT), blocks=paragraphs(text))


def reminder(record: Record) -> Message:
    """To the approvers, after a third and after two thirds of the time."""
    text = f"{record.approvers}: {code('/mlflow ' + record.words)} is still waiting for approval, {_until(record)}."
    return Message(text=text, blocks=[section(text)])


def in_person(record: Record, message: Message) -> Message:
    """The same for one approver, in a direct message: where to decide."""
    place = link("Open it", record.permalink) if record.permalink else f"It's in <#{record.channel}>"
    text = f"{message.text}\n{place}, or decide in my Home tab."
    return Message(text=cut(text, SECTION_TEXT), blocks=paragraphs(text))


def outcome(record: Record) -> Message:
    """To who asked: it was denied, or no one decided in time. record: as it was decided."""
    words = code("/mlflow " + record.words)
    if record.phase is Phase.DENIED:
        why = f": {plain(record.reason)}" if record.reason else "."
        said = f"{words} was denied{f' by {_people(record)}' if record.decided_by else ''}{why}"
    else:
        said = f"{words} expired: no one decided in time."
    text = f"{whom(record.requester)}: {said}\nNothing was changed."
    return Message(text=cut(text, SECTION_TEXT), blocks=paragraphs(text))


def counts_no_more(people: Iterable[str]) -> Message:
    """An approval of somebody who may not approve any more was taken back."""
    text = f"The approval by {', '.join(map(whom, people))} counts no longer: they may not approve any more."
    return Message(text=text, blocks=[section(text)])


def warned(plan: Plan) -> Message:
    """What whoever asked should know of a change that nobody is asked about: its message is soon another one."""
    lines = [f":warning: {plain(warning)}" for warning in plan.warnings]
    return Message(text=short(f"{plan.title}: {' '.join(plan.warnings)}"), blocks=paragraphs("\n".join(lines)))


def _people(record: Record) -> str:
    return " and ".join(f"<@{user}>" for user in record.decided_by)


def _changes(plan: Plan, most: int = _SHOWN_CHANGES) -> list[Block]:
    lines = [f"{plain(each.what)}: {code(each.before)} → {code(each.after)}" for each in plan.changes[:most]]
    if len(plan.changes) > most:
        lines.append(f"and {len(plan.changes) - most} more")
    return paragraphs("\n".join(lines))


def _foot(plan: Plan, record: Record) -> str:
    parts = [f"{code('/mlflow ' + record.words)} asked by {whom(record.requester)}", f"id {code(record.id)}"]
    if record.phase is Phase.PENDING:
        people = "one person" if record.approvals == 1 else f"{record.approvals} people"
        parts.append(f"needs {people} of {record.approvers}, {_until(record)}")
    if plan.estimate_seconds is not None:
        parts.append(f"takes about {duration(max(1.0, plan.estimate_seconds))}")
    if plan.undo:
        parts.append(f"to undo: {plain(plan.undo)}")
    return " · ".join(parts)


def _until(record: Record) -> str:
    return f"until {at(record.expires_at)}"


def alarm(record: Record) -> Message:
    """To everybody, where somebody went round the approvers."""
    who, what = whom(record.requester), code("/mlflow " + record.words)
    text = f"<!channel> :rotating_light: {who} uses break-glass for {what}: {plain(record.break_glass)}"
    return Message(text=text, blocks=[section(text)])


def details(plan: Plan, record: Record) -> list[Block]:
    """All that a plan rests on, for a modal."""
    facts = "\n".join(f"{plain(name)}: {code(str(value))}" for name, value in sorted(plan.facts.items()))
    changes = "\n".join(f"{plain(each.what)}: {code(each.before)} → {code(each.after)}" for each in plan.changes)
    shown = [
        *paragraphs(f"*{plain(plan.title)}*: {plain(plan.summary)}"),
        *(paragraphs(f"*Would change*\n{changes}") if changes else ()),
        *(paragraphs(f"*Assumes*\n{facts}") if facts else ()),
        *(block for each in plan.sections for block in blocks_of(each)),
        *paragraphs(f"*Digest*\n{code(plan.digest)}\n_{plain('What is approved is this and nothing else.')}_"),
        *paragraphs(_foot(plan, record)),
    ]
    return shown[:BLOCKS]
