"""What pressing a button does: acknowledged at once, decided by what Redis holds and not by what the button says.

A payload names a record's id. Whether it waits, what would run and who may decide is looked up here, so a crafted or an
old button can do nothing that a fresh one could not.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError
from slack_bolt import Ack, App
from slack_bolt.context.respond import Respond
from slack_sdk import WebClient

from bot import slash
from bot.modals import denial, views
from bot.modals import silence as silencing
from bot.modals.asking import Asking, opened_by
from bot.slack_errors import FAILURES
from commands import policy
from workers.engine import approvals, rights
from workers.operation import Plan
from workers.records.record import Phase, Record
from workers.records.store import Records
from workers.rendering import blocks, buttons, proposals
from workers.settings import Ops
from workers.systems.redis import explained

Decide = Callable[[Record, str], str]
Open = Callable[[Record, str, str], str]
"""What opens a modal, or asks for something: it takes the trigger of the press, and each press has its own."""

AT_HOME = frozenset(
    each.action for each in (buttons.APPROVE, buttons.DENY, buttons.WITHDRAW, buttons.DETAILS, buttons.CANCEL)
)
"""Those that an App Home shows too; there is no channel there to compare the record's with."""

_log = structlog.get_logger(__name__)


class Buttons:
    """The listeners of the buttons, made from what they decide by."""

    def __init__(
        self,
        ops: Ops,
        redis: Redis,
        members: policy.Members,
        client: WebClient,
        members_now: Callable[[], policy.Members] | None = None,
    ) -> None:
        self._members_now = members_now or (lambda: members)
        self._client = client
        self._ops = ops
        self._redis = redis
        self._records = Records(redis)
        self._members = members

    def listen(self, app: App) -> None:
        """Register them."""
        deciding: dict[str, Decide] = {
            buttons.APPROVE.action: self.approve,
            buttons.WITHDRAW.action: self.withdraw,
            buttons.CANCEL.action: self.cancel,
        }
        opening: dict[str, Open] = {
            buttons.DENY.action: self.deny,
            buttons.DETAILS.action: self.details,
            buttons.AGAIN.action: self.again,
            buttons.UNDO.action: self.undo,
        }
        opening |= {
            buttons.SILENCE.action: self.silence,
            buttons.UNSILENCE.action: self.unsilence,
        }
        opening |= {buttons.offered(number): partial(self.offered, number) for number in range(buttons.OFFERS)}
        for action, decide in deciding.items():
            app.action(action)(self._listener(_without_trigger(decide)))
        for action, show in opening.items():
            app.action(action)(self._listener(show))
        app.view(denial.CALLBACK)(self.denied)
        app.view(silencing.CALLBACK)(self.silenced)

    def _listener(self, decide: Open) -> Callable[[Ack, dict[str, Any], Respond], None]:
        def on_press(ack: Ack, body: dict[str, Any], respond: Respond) -> None:
            ack()
            said = self._pressed(decide, body)
            if said and views.pressed_at_home(body):
                views.tell(self._client, str(body.get("trigger_id", "")), str(body["user"]["id"]), said)
            elif said:
                self._answer(respond, body, said)

        return on_press

    def _answer(self, respond: Respond, body: dict[str, Any], said: str) -> None:
        """Tell whoever pressed, where they pressed; in a window, else in person, where Slack doesn't take that."""
        about: dict[str, Any] = {"response_type": "ephemeral", "replace_original": False, "thread_ts": _thread(body)}
        try:
            if respond(**about, **slash.shown(said)).status_code == HTTPStatus.OK:
                return
        except FAILURES as error:
            _log.warning("an answer was not taken", error=type(error).__name__)
        views.tell(self._client, str(body.get("trigger_id", "")), str(body["user"]["id"]), said)

    def _pressed(self, decide: Open, body: dict[str, Any]) -> str:
        try:
            user, value = str(body["user"]["id"]), str(body["actions"][0].get("value", ""))
            record = self._records.get(value) if value.isalnum() else None
            if record is None or not _stands_there(record, body):
                return "I do not know this command any more; ask again."
            here = policy.refusal_here(user, record.channel, self._ops, self._members)
            return here.sentence if here else decide(record, user, str(body.get("trigger_id", "")))
        except RedisError as error:
            _log.error("not decided: Redis is away", error=str(error))
            return f"Nothing was decided: {blocks.plain(explained(error).message)} Press again in a minute."
        except Exception:  # noqa: BLE001 - no bug leaves whoever pressed without an answer: they are told its id
            incident = uuid.uuid4().hex[:8]
            _log.exception("unexpected error", incident=incident)
            return f"Nothing was decided: something unexpected happened (id {incident}). The bot's log has the details."

    def approve(self, record: Record, user: str) -> str:
        """Count an approval: what to tell whoever pressed, empty where the message shows it."""
        refusal = policy.refusal_to_decide(user, record, self._ops, self._members)
        if refusal:
            return refusal.sentence
        answer = approvals.approve(record, user, self._redis, self._still)
        if answer is approvals.Answer.NOT_ANY_MORE:
            return "It has ended: the person who asked for it may not ask for it any more."
        if answer is approvals.Answer.TOO_LATE:
            return self._too_late(record)
        _log.info("approval", operation_id=record.id, by=user, answer=answer)
        return ""

    def _still(self, record: Record) -> rights.Standing:
        """Who of those behind it may not any more, by the groups as Slack tells them now."""
        return rights.standing(record, self._ops, self._members_now())

    def deny(self, record: Record, user: str, trigger: str) -> str:
        """Ask why, where this person may refuse what waits; without a reason where Slack opens no modal."""
        refusal = policy.refusal_to_decide(user, record, self._ops, self._members)
        if refusal:
            return refusal.sentence
        if record.phase is not Phase.PENDING:
            return self._too_late(record)
        if views.opened(self._client, trigger, denial.view(record)):
            return ""
        return self._refused(record, Phase.DENIED, user)

    def denied(self, ack: Ack, body: dict[str, Any]) -> None:
        """The modal was submitted: refuse, with the reason that was given."""
        ack()
        view = body.get("view", {})
        value = str(view.get("private_metadata", ""))
        try:
            user = str(body["user"]["id"])
            record = self._records.get(value) if value.isalnum() else None
            if record is None:
                return
            reason = denial.reason(view.get("state", {}).get("values", {}))
            here = policy.refusal_here(user, record.channel, self._ops, self._members)
            answer = here or policy.refusal_to_decide(user, record, self._ops, self._members)
            text = answer.sentence if answer else self._refused(record, Phase.DENIED, user, reason)
            if text:
                self._tell(record, user, text)
        except (RedisError, *FAILURES) as error:
            _log.error("a denial came to nothing", error=str(error))

    def details(self, record: Record, _user: str, trigger: str) -> str:
        """Show all of the plan."""
        if record.plan is None:
            return "It has no plan yet."
        shown = blocks.notice("The plan", proposals.details(Plan.model_validate(record.plan), record))
        return "" if views.opened(self._client, trigger, shown) else "Slack does not open a window now; press again."

    def cancel(self, record: Record, user: str) -> str:
        """Stop what runs."""
        return slash.cancel(record.id, user, self._ops, self._records, self._members)

    def undo(self, record: Record, user: str, trigger: str) -> str:
        """Ask for the command that goes back, as oneself."""
        if not record.undo:
            return "There is nothing to undo."
        return self.again(record.model_copy(update={"words": record.undo}), user, trigger)

    def offered(self, number: int, record: Record, user: str, trigger: str) -> str:
        """Ask for what a button of a report offers, as oneself."""
        if number >= len(record.offers):
            return "That is not offered any more; ask again."
        if not record.offers[number]:
            # A link: it was opened by Slack.
            return ""
        asked = opened_by(record.offers[number])
        asking = Asking(self._ops, self._records, self._members, self._client)
        if asked is not None and asking.open(asked, trigger, record.channel):
            return ""
        return self.again(record.model_copy(update={"words": record.offers[number]}), user, trigger)

    def silence(self, record: Record, _user: str, trigger: str) -> str:
        """Ask for how long an alert is to be silent."""
        group = silencing.group_of(record)
        if not group:
            return "This is no alert's message."
        by_hand = blocks.code(f"/mlflow alerts silence {group} --for 2h")
        shown = views.opened(self._client, trigger, silencing.view(record))
        return "" if shown else f"Slack opens no window now; type {by_hand}."

    def silenced(self, ack: Ack, body: dict[str, Any]) -> None:
        """The modal was submitted: ask for the silence, as oneself; submitted twice, it is asked for once."""
        ack()
        submitted = body.get("view", {})
        value = str(submitted.get("private_metadata", ""))
        try:
            user = str(body["user"]["id"])
            record = self._records.get(value) if value.isalnum() else None
            if record is None or not silencing.group_of(record):
                return
            words = silencing.command(record, submitted.get("state", {}).get("values", {}))
            asked = {"user_id": user, "channel_id": record.channel, "text": words}
            asked["trigger_id"] = f"view:{submitted.get('id')}"
            text = slash.answered(asked, self._ops, self._records, self._members)
            if text:
                self._tell(record, user, text)
        except (RedisError, *FAILURES) as error:
            _log.error("a silence came to nothing", error=str(error))

    def unsilence(self, record: Record, user: str, trigger: str) -> str:
        """Ask for the end of an alert's silence, as oneself."""
        words = f"alerts unsilence {silencing.group_of(record)}"
        return self.again(record.model_copy(update={"words": words}), user, trigger)

    def withdraw(self, record: Record, user: str) -> str:
        """Take back what one asked for."""
        if user != record.requester:
            return f"Only <@{record.requester}>, who asked for it, can withdraw it; approvers can deny it."
        return self._refused(record, Phase.CANCELLED, user)

    def again(self, record: Record, user: str, trigger: str) -> str:
        """Ask for the same once more, as oneself; once, also where Slack delivers the press again."""
        delivery = trigger or uuid.uuid4().hex
        asked = {"user_id": user, "channel_id": record.channel, "text": record.words, "trigger_id": delivery}
        return slash.answer(asked, self._ops, self._records, self._members)

    def _tell(self, record: Record, user: str, text: str) -> None:
        about: Any = {"channel": record.channel, "user": user, "thread_ts": record.thread_ts}
        try:
            self._client.chat_postEphemeral(**about, **slash.shown(text))
        except FAILURES:
            # Pressed at home by somebody who is not in that channel, or the channel is closed to us.
            self._client.chat_postMessage(channel=user, **slash.shown(text))

    def _refused(self, record: Record, phase: Phase, user: str, reason: str = "") -> str:
        if record.phase is Phase.PENDING and approvals.refuse(record, phase, user, self._redis, reason):
            _log.info("refused", operation_id=record.id, by=user, phase=phase)
            return ""
        return self._too_late(record)

    def _too_late(self, record: Record) -> str:
        now = self._records.get(record.id) or record
        by = " and ".join(f"<@{each}>" for each in now.decided_by)
        return f"That was decided already: it is {now.phase}{f' by {by}' if by else ''}."


def _without_trigger(decide: Decide) -> Open:
    return lambda record, user, _trigger: decide(record, user)


def _thread(body: dict[str, Any]) -> str | None:
    """The thread in which a button was pressed, where an answer that only one person sees is to stand too; None for a
    message in the channel.
    """
    container = body.get("container") or {}
    thread_ts = container.get("thread_ts")
    return str(thread_ts) if thread_ts and thread_ts != container.get("message_ts") else None


def _stands_there(record: Record, body: dict[str, Any]) -> bool:
    """Whether the record's buttons stand where this was pressed: in its channel, or, some of them, in an App Home."""
    if views.pressed_at_home(body):
        return str(body["actions"][0].get("action_id")) in AT_HOME
    return bool(record.channel == body.get("channel", {}).get("id"))
