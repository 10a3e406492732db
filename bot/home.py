"""The App Home: opened, and asked from. What it shows is `bot.home_page`'s, keeping it fresh `bot.publishing`'s.

A press there has no channel, so a command is asked in one of ops.yaml: where it must be, else where this person asked
last, else the first. It takes the way of a typed one: policy, plan, approval. Approving and denying are `bot.buttons`'.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError

from bot import choosing, home_page, publishing, slash, windows
from commands import grammar, policy
from workers.operation import Operation
from workers.operations.commands import overview
from workers.records.record import Records
from workers.rendering import message

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from slack_bolt import Ack, App
    from slack_sdk import WebClient

    from workers.settings import Ops

VIEW: Final = "anything"
"""The callback id (https://docs.slack.dev/reference/views/modal-views)."""
_WORDS, _CHANNEL = "words", "channel"
_AWAY: Final = "Nothing was done: my memory (Redis) cannot be reached. Press again in a minute."

_log = structlog.get_logger(__name__)


class Home:
    """The listeners, made from what they decide by. client: without retries of its own."""

    def __init__(self, ops: Ops, redis: Redis, members: policy.Members, client: WebClient) -> None:
        self._ops = ops
        self._redis = redis
        self._records = Records(redis)
        self._members = members
        self._client = client

    def listen(self, app: App) -> None:
        """Register them."""
        app.event("app_home_opened")(self.opened)
        for action, (_, words) in home_page.ASKS.items():
            app.action(action)(self._asking(words))
        app.action(home_page.RESTORE)(self.restoring)
        app.action(home_page.ANYTHING)(self.anything)
        app.action(home_page.THREAD)(lambda ack: ack())
        app.view(VIEW)(self.submitted)

    def opened(self, event: dict[str, Any]) -> None:
        """Somebody looks at it; https://docs.slack.dev/reference/events/app_home_opened."""
        if event.get("tab") != "home":
            return
        try:
            view_hash = str((event.get("view") or {}).get("hash") or "")
            publishing.opened(self._redis, str(event["user"]), view_hash, time.time())
        except RedisError as error:
            _log.error("a Home is not drawn: Redis is away", error=str(error))

    def _asking(self, words: str) -> Callable[[Ack, dict[str, Any]], None]:
        def on_press(ack: Ack, body: dict[str, Any]) -> None:
            ack()
            user, trigger = str(body["user"]["id"]), str(body.get("trigger_id", ""))
            said = self._asked(user, words, "", trigger)
            if said:
                windows.tell(self._client, trigger, user, said)

        return on_press

    def restoring(self, ack: Ack, body: dict[str, Any]) -> None:
        """Open the window of `restore`."""
        ack()
        self._open(body, choosing.window)

    def anything(self, ack: Ack, body: dict[str, Any]) -> None:
        """Open a window to type a command in."""
        ack()
        self._open(body, partial(_window, several=len(self._ops.channels) > 1))

    def submitted(self, ack: Ack, body: dict[str, Any]) -> None:
        """Ask for what was typed; what is wrong with it is marked in the window."""
        view = body["view"]
        values = view["state"]["values"]
        words = str(values[_WORDS][_WORDS].get("value") or "").strip().removeprefix(slash.COMMAND).strip()
        chosen = values.get(_CHANNEL, {}).get(_CHANNEL, {}).get("selected_conversation")
        channel = str(chosen or view["private_metadata"])
        said = self._asked(str(body["user"]["id"]), words, channel, str(view["id"]))
        if said.startswith("```"):
            ack(response_action="update", view=windows.notice(said, "Help"))
        elif said:
            ack(response_action="errors", errors={_WORDS: said[:2000]})
        else:
            done = f"{message.code(f'{slash.COMMAND} {words}')} is answered in <#{channel}>."
            ack(response_action="update", view=windows.notice(done))

    def _asked(self, user: str, words: str, channel: str, delivery: str) -> str:
        """Ask for it as this person. channel: "" for a sensible one. What to tell them; empty where it was accepted."""
        if not self._ops.channels:
            refused = policy.refusal_here(user, channel, self._ops, self._members)
            return refused.sentence if refused else ""
        try:
            wanted = grammar.parse(words) if not channel else None
            if isinstance(wanted, Operation):
                channel = home_page.channel_for(wanted, self._last(user), self._ops)
        except RedisError as error:
            _log.error("not asked: Redis is away", error=str(error))
            return _AWAY
        asked = {"user_id": user, "channel_id": channel, "text": words, "trigger_id": delivery}
        return slash.answered(asked, self._ops, self._records, self._members)

    def _last(self, user: str) -> str:
        return overview.last_channel(self._records, user)

    def _open(self, body: dict[str, Any], made: Any) -> None:
        user, trigger = str(body["user"]["id"]), str(body.get("trigger_id", ""))
        said = home_page.Person(user, self._ops, self._members).stranger()
        if not said:
            try:
                channel = home_page.usual_channel(self._last(user), self._ops)
                if windows.opened(self._client, trigger, made(channel)):
                    return
                said = "Slack does not open a window now; press again."
            except RedisError:
                said = _AWAY
        windows.tell(self._client, trigger, user, said)


def _window(channel: str, *, several: bool) -> dict[str, Any]:
    words = {
        "type": "input",
        "block_id": _WORDS,
        "label": windows.plain_text("What is to be done?"),
        "hint": {"type": "plain_text", "text": f"As after {slash.COMMAND}: for example logs --level error, or help."},
        "element": {
            "type": "plain_text_input",
            "action_id": _WORDS,
            "max_length": grammar.MAX_CHARACTERS,
            "focus_on_load": True,
        },
    }
    place = {
        "type": "input",
        "block_id": _CHANNEL,
        "label": windows.plain_text("Where is it answered?"),
        "element": {"type": "conversations_select", "action_id": _CHANNEL, "initial_conversation": channel},
    }
    return {
        "type": "modal",
        "callback_id": VIEW,
        "private_metadata": channel,
        "title": windows.plain_text("Ask"),
        "submit": windows.plain_text("Ask"),
        "close": windows.plain_text("Back"),
        "blocks": [words, place] if several else [words],
    }
