"""Opens the forms and asks for what was filled in: from a command that lacks its parameters, a button, or a Home."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError

from bot import slash
from bot.modals import changes, form, restore, views
from commands import grammar, policy
from workers.rendering import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from slack_bolt import Ack, App
    from slack_bolt.context.respond import Respond
    from slack_sdk import WebClient

    from bot.modals.form import Form
    from workers.records.store import Records
    from workers.settings import Ops

FORMS: Final = (restore.FORM, *changes.FORMS)
_BY_WORDS: Final = {words: each for each in FORMS for words in each.opens}

_log = structlog.get_logger(__name__)


def opened_by(words: str) -> Form | None:
    """The form that asks for what these words of a command lack."""
    return _BY_WORDS.get(words)


class Asking:
    """Their listeners, made from what they decide by. client: without retries of its own."""

    def __init__(self, ops: Ops, records: Records, members: policy.Members, client: WebClient) -> None:
        self._ops = ops
        self._records = records
        self._members = members
        self._client = client

    def listen(self, app: App) -> None:
        """Register them."""
        for each in FORMS:
            app.view(each.name)(self._submitting(each))

    def around(self, listener: slash.Listener) -> slash.Listener:
        """The slash command's listener, with what lacks its parameters answered by a modal."""

        def on_command(ack: Ack, command: dict[str, Any], respond: Respond) -> None:
            asked = opened_by(grammar.recorded(str(command.get("text") or "")))
            if asked is None or not self._may(command):
                listener(ack, command, respond)
                return
            # Before Slack is asked for the window: an acknowledgement must not wait for Slack.
            ack()
            if not self.open(asked, command["trigger_id"], command["channel_id"]):
                said = slash.answered(command, self._ops, self._records, self._members)
                respond(response_type="ephemeral", **slash.shown(said))

        return on_command

    def open(self, asked: Form, trigger: str, channel: str) -> bool:
        """Open one for whoever caused the trigger; False where Slack does not, or Redis is away. channel: where what it
        asks for is answered.
        """
        try:
            view = self.view(asked, channel)
        except RedisError as error:
            _log.warning("a form could not be made: Redis is away", error=type(error).__name__)
            return False
        return views.opened(self._client, trigger, view)

    def view(self, asked: Form, channel: str) -> dict[str, Any]:
        """The modal. Raises redis.exceptions.RedisError."""
        fields = asked.fields(self._records.redis, self._ops)
        if not any(field["type"] == "input" for field in fields):
            return blocks.notice(asked.title, fields)
        return blocks.form(asked.name, json.dumps({"channel": channel}), asked.title, asked.submit, fields)

    def _may(self, command: dict[str, Any]) -> bool:
        user, channel = str(command.get("user_id", "")), str(command.get("channel_id", ""))
        whole = bool(user and command.get("trigger_id"))
        return whole and policy.refusal_here(user, channel, self._ops, self._members) is None

    def _submitting(self, asked: Form) -> Callable[[Ack, dict[str, Any]], None]:
        def on_submit(ack: Ack, body: dict[str, Any]) -> None:
            self.submitted(asked, ack, body)

        return on_submit

    def submitted(self, asked: Form, ack: Ack, body: dict[str, Any]) -> None:
        """Ask for what was chosen; what is wrong with it is marked in the modal."""
        view = body["view"]
        values = form.filled(view)
        words = asked.words(values)
        command = {
            "user_id": body["user"]["id"],
            "channel_id": json.loads(view["private_metadata"])["channel"],
            "text": words,
            "trigger_id": view["id"],
        }
        said = slash.answered(command, self._ops, self._records, self._members)
        if said:
            ack(response_action="errors", errors={_field(said, values): said[:2000]})
        else:
            ack()


def _field(said: str, values: dict[str, str]) -> str:
    """The field beside which it is told: one whose content or name it speaks of, else the first one."""
    lowered = said.lower()
    spoken = (name for name, value in values.items() if (value and value.lower() in lowered) or name in lowered)
    return next(spoken, next(iter(values)))
