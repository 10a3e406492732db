"""Approve, deny, withdraw, ask again: acknowledged at once, decided by what Redis holds and not by what a button says.

A payload names a record's id. Whether it waits, what would run and who may decide is looked up here, so a crafted or an
old button can do nothing that a fresh one could not.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError
from slack_bolt import Ack, App
from slack_bolt.context.respond import Respond

from bot import slash
from commands import policy
from workers import approvals, proposals
from workers.settings import Ops
from workers.state import Phase, Record, Records

Decide = Callable[[Record, str], str]

_log = structlog.get_logger(__name__)


class Buttons:
    """The listeners of the buttons, made from what they decide by."""

    def __init__(self, ops: Ops, redis: Redis, members: policy.Members) -> None:
        self._ops = ops
        self._redis = redis
        self._records = Records(redis)
        self._members = members

    def listen(self, app: App) -> None:
        """Register them."""
        deciding: dict[str, Decide] = {
            proposals.APPROVE: self.approve,
            proposals.DENY: self.deny,
            proposals.WITHDRAW: self.withdraw,
            proposals.AGAIN: self.again,
        }
        for action, decide in deciding.items():
            app.action(action)(self._listener(decide))

    def _listener(self, decide: Decide) -> Callable[[Ack, dict[str, Any], Respond], None]:
        def on_press(ack: Ack, body: dict[str, Any], respond: Respond) -> None:
            ack()
            said = self._pressed(decide, body)
            if said:
                respond(text=said, response_type="ephemeral", replace_original=False)

        return on_press

    def _pressed(self, decide: Decide, body: dict[str, Any]) -> str:
        try:
            user, value = str(body["user"]["id"]), str(body["actions"][0].get("value", ""))
            record = self._records.get(value) if value.isalnum() else None
            if record is None or record.channel != body.get("channel", {}).get("id"):
                return "I do not know this command any more; ask again."
            here = policy.refusal_here(user, record.channel, self._ops, self._members)
            return here.sentence if here else decide(record, user)
        except RedisError as error:
            _log.error("not decided: Redis is away", error=str(error))
            return "Nothing was decided: my memory (Redis) cannot be reached. Press again in a minute."
        except Exception:  # noqa: BLE001 - logged under an id that whoever pressed is told
            incident = uuid.uuid4().hex[:8]
            _log.exception("unexpected error", incident=incident)
            return f"Nothing was decided: something unexpected happened (id {incident}). The bot's log has the details."

    def approve(self, record: Record, user: str) -> str:
        """Count an approval: what to tell whoever pressed, empty where the message shows it."""
        refusal = policy.refusal_to_decide(user, record, self._ops, self._members)
        if refusal:
            return refusal.sentence
        answer = approvals.approve(record, user, self._redis)
        if answer is approvals.Answer.TOO_LATE:
            return self._too_late(record)
        _log.info("approval", operation_id=record.id, by=user, answer=answer)
        return ""

    def deny(self, record: Record, user: str) -> str:
        """Refuse what waits."""
        refusal = policy.refusal_to_decide(user, record, self._ops, self._members)
        if refusal:
            return refusal.sentence
        return self._refused(record, Phase.DENIED, user)

    def withdraw(self, record: Record, user: str) -> str:
        """Take back what one asked for."""
        if user != record.requester:
            return f"Only <@{record.requester}>, who asked for it, can withdraw it; approvers can deny it."
        return self._refused(record, Phase.CANCELLED, user)

    def again(self, record: Record, user: str) -> str:
        """Ask for the same once more, as oneself."""
        asked = {"user_id": user, "channel_id": record.channel, "text": record.words, "trigger_id": uuid.uuid4().hex}
        return slash.answer(asked, self._ops, self._records, self._members)

    def _refused(self, record: Record, phase: Phase, user: str) -> str:
        if record.phase is Phase.PENDING and approvals.refuse(record, phase, user, self._redis):
            _log.info("refused", operation_id=record.id, by=user, phase=phase)
            return ""
        return self._too_late(record)

    def _too_late(self, record: Record) -> str:
        now = self._records.get(record.id) or record
        by = " and ".join(f"<@{each}>" for each in now.decided_by)
        return f"That was decided already: it is {now.phase}{f' by {by}' if by else ''}."
