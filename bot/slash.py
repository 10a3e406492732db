"""`/mlflow …`: unescape, parse, authorise, record, acknowledge. Nothing here waits for anything but Redis.

The order matters: the command is recorded before it is acknowledged, so whatever Slack was told is accepted exists,
and whatever could not be recorded is refused with a sentence within Slack's three seconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import structlog
from redis.exceptions import RedisError
from slack_bolt import Ack
from slack_bolt.context.respond import Respond

from bot.unescaping import unescaped
from commands import grammar, policy
from workers.engine import queues
from workers.errors import OperatorError
from workers.operations.commands import jobs, schedule
from workers.operations.commands.jobs import Cancel
from workers.operations.commands.schedule import ScheduleRun
from workers.operations.incident.incident import in_its_thread
from workers.records.record import Record
from workers.records.store import Merged, Records, TooMany
from workers.redaction import without_secrets
from workers.rendering import blocks, message
from workers.settings import Ops
from workers.systems.redis import explained

COMMAND = "/mlflow"
WHOLE_CHARACTERS = 3000
"""Of a text that Slack certainly doesn't split; it does from 4,000 on."""

Listener = Callable[[Ack, dict[str, Any], Respond], None]

_log = structlog.get_logger(__name__)


def as_typed(listener: Listener) -> Listener:
    """The same, with the text as it was typed: what Slack has escaped is turned back before anything reads it."""

    def on_command(ack: Ack, command: dict[str, Any], respond: Respond) -> None:
        listener(ack, {**command, "text": unescaped(str(command.get("text") or ""))}, respond)

    return on_command


def listener(ops: Ops, records: Records, members: policy.Members) -> Listener:
    """The Bolt listener for the slash command."""

    def on_command(ack: Ack, command: dict[str, Any], respond: Respond) -> None:  # noqa: ARG001 - for others
        ack(**shown(answered(command, ops, records, members)))

    return on_command


def shown(text: str) -> dict[str, Any]:
    """What is told as Slack shows it: a long text in blocks, because Slack splits it elsewhere, through code too."""
    if len(text) <= WHOLE_CHARACTERS and "```" not in text:
        return {"text": text}
    return {"text": blocks.cut(text, blocks.SHORT_TEXT).replace("```", ""), "blocks": blocks.formatted(text)}


def answered(command: dict[str, Any], ops: Ops, records: Records, members: policy.Members) -> str:
    """As `answer`, whatever happens, and without secrets."""
    try:
        text = answer(command, ops, records, members)
    except Exception:  # noqa: BLE001 - no bug leaves its sender without an answer: they are told its id
        incident = uuid.uuid4().hex[:8]
        _log.exception("unexpected error", incident=incident)
        text = f"Nothing was done: something unexpected happened (id {incident}). The bot's log has the details."
    return without_secrets(text)


def answer(  # noqa: PLR0911 - each way out has its own words
    command: dict[str, Any], ops: Ops, records: Records, members: policy.Members
) -> str:
    """Accept a command, or say why not: the text that only its sender sees, empty where it was accepted.

    command: Slack's payload (https://docs.slack.dev/interactivity/implementing-slash-commands), its text as it was
    typed.
    """
    if not all(command.get(field) for field in ("user_id", "channel_id", "trigger_id")):
        return "Nothing was done: that was not a whole command of Slack's."
    user, channel, words = command["user_id"], command["channel_id"], command.get("text", "")
    refusal = policy.refusal_here(user, channel, ops, members)
    if refusal:
        return refusal.sentence
    try:
        request = grammar.parse(words, program=COMMAND)
    except grammar.UsageError as error:
        right = f" Did you mean {blocks.code(error.line)}?" if error.line else ""
        said = error.message if error.line else str(error)
        return f"{blocks.plain(said)}{right}\n{blocks.code(error.usage)}"
    if isinstance(request, grammar.Help):
        return f"```\n{blocks.escape(request.text)}\n```"
    words = grammar.recorded(words)
    if isinstance(request, ScheduleRun):
        try:
            named = schedule.entry(request.entry, ops)
        except OperatorError as error:
            return blocks.plain(str(error))
        return answer({**command, "text": named.command}, ops, records, members)
    reason = ""
    if isinstance(request, grammar.BreakGlass):
        reason, request = request.reason, request.operation
    refusal = policy.refusal(user, channel, request, ops, members, break_glass=bool(reason))
    if refusal:
        return refusal.sentence
    if isinstance(request, Cancel):
        return cancel(request.id, user, ops, records, members)
    record = policy.record_of(request, words, user, channel, ops)
    return _accept(record, reason, command["trigger_id"], ops, records)


def _accept(record: Record, reason: str, delivery: str, ops: Ops, records: Records) -> str:
    if reason:
        record = policy.without_approval(record, reason)
    root = message.calling(message.asked(record.words, record.requester), record.calls)
    try:
        record = in_its_thread(record, records.redis)
        accepted = queues.accept(record, delivery, root, records.redis, at_most=ops.per_person)
    except (TooMany, Merged) as error:
        return blocks.plain(str(error))
    except RedisError as error:
        why = explained(error)
        _log.error("not accepted: Redis takes nothing", error=str(why))
        whom = f"Call {blocks.called(record.calls)} yourself, now;" if record.calls else "Try again in a minute;"
        return f"Nothing was done: {blocks.plain(why.message)} {whom} then tell the person who runs me."
    if accepted:
        about = {"operation": record.operation, "requester": record.requester, "channel": record.channel}
        _log.info("accepted", operation_id=record.id, **about)
    else:
        _log.info("dropped: delivered before", operation=record.operation, requester=record.requester)
    return ""


def cancel(record_id: str, user: str, ops: Ops, records: Records, members: policy.Members) -> str:
    """Stop a command if this person may; what to tell them. Raises RedisError."""
    record = records.get(record_id)
    if record is None:
        return f"I know no command {blocks.code(record_id)}; /mlflow jobs lists them."
    if record.phase.ended:
        return f"{blocks.code('/mlflow ' + record.words)} has ended already: {record.phase}."
    refusal = policy.refusal_to_cancel(user, record, ops, members)
    if refusal:
        return refusal.sentence
    try:
        return jobs.stop(record, user, records)
    except OperatorError as error:
        return f"{error.message} {error.hint}".rstrip()
