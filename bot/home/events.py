"""The App Home: opened, and asked from. What it shows is `bot.home.page`'s, keeping it fresh `bot.home.publishing`'s.

A press there has no channel, so a command is asked in one of ops.yaml: where it must be, else where this person asked
last, else the first. It takes the way of a typed one: policy, plan, approval. Approving and denying are `bot.buttons`'.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError

from bot import slash
from bot.home import page, publishing
from bot.modals import any_command, views
from bot.modals.asking import Asking
from commands import grammar, policy
from workers.operation import Operation
from workers.operations.commands import overview
from workers.records.store import Records
from workers.rendering import blocks
from workers.systems.redis import explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from slack_bolt import Ack, App
    from slack_sdk import WebClient

    from bot.modals.form import Form
    from workers.settings import Ops

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
        for action, (_, words) in page.ASKS.items():
            app.action(action)(self._asking(words))
        for name, asked in page.FORMS.items():
            app.action(name)(self._forming(asked))
        app.action(page.ANYTHING)(self.anything)
        app.action(page.THREAD)(lambda ack: ack())
        app.view(any_command.CALLBACK)(self.submitted)

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
                views.tell(self._client, trigger, user, said)

        return on_press

    def _forming(self, asked: Form) -> Callable[[Ack, dict[str, Any]], None]:
        def on_press(ack: Ack, body: dict[str, Any]) -> None:
            ack()
            asking = Asking(self._ops, self._records, self._members, self._client)
            self._open(body, partial(asking.view, asked))

        return on_press

    def anything(self, ack: Ack, body: dict[str, Any]) -> None:
        """Open a modal to type a command in."""
        ack()
        self._open(body, partial(any_command.view, program=slash.COMMAND, several=len(self._ops.channels) > 1))

    def submitted(self, ack: Ack, body: dict[str, Any]) -> None:
        """Ask for what was typed; what is wrong with it is marked in the modal."""
        view = body["view"]
        typed, channel = any_command.typed(view)
        words = typed.removeprefix(slash.COMMAND).strip()
        said = self._asked(str(body["user"]["id"]), words, channel, str(view["id"]))
        if said.startswith("```"):
            ack(response_action="update", view=views.notice(said, "Help"))
        elif said:
            ack(response_action="errors", errors={any_command.WORDS: said[:2000]})
        else:
            done = f"{blocks.code(f'{slash.COMMAND} {words}')} is answered in <#{channel}>."
            ack(response_action="update", view=views.notice(done))

    def _asked(self, user: str, words: str, channel: str, delivery: str) -> str:
        """Ask for it as this person. channel: "" for a sensible one. What to tell them; empty where it was accepted."""
        if not self._ops.channels:
            refused = policy.refusal_here(user, channel, self._ops, self._members)
            return refused.sentence if refused else ""
        try:
            wanted = grammar.parse(words) if not channel else None
            if isinstance(wanted, Operation):
                channel = page.channel_for(wanted, self._last(user), self._ops)
        except RedisError as error:
            _log.error("not asked: Redis is away", error=str(error))
            return _away(error)
        asked = {"user_id": user, "channel_id": channel, "text": words, "trigger_id": delivery}
        return slash.answered(asked, self._ops, self._records, self._members)

    def _last(self, user: str) -> str:
        return overview.last_channel(self._records, user)

    def _open(self, body: dict[str, Any], made: Any) -> None:
        user, trigger = str(body["user"]["id"]), str(body.get("trigger_id", ""))
        said = page.Person(user, self._ops, self._members).stranger()
        if not said:
            try:
                channel = page.usual_channel(self._last(user), self._ops)
                if views.opened(self._client, trigger, made(channel)):
                    return
                said = "Slack does not open a window now; press again."
            except RedisError as error:
                said = _away(error)
        views.tell(self._client, trigger, user, said)


def _away(error: RedisError) -> str:
    return f"Nothing was done: {blocks.plain(explained(error).message)} Press again in a minute."
