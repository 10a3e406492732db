"""Settings → a Bolt app with its listeners, served over Socket Mode or HTTP until SIGTERM.

Traps: Bolt's five listener threads also serve acknowledgements, so there are more here and none of them waits;
SocketModeHandler.start() does not hear SIGTERM, so it is connected and closed by hand (see bot.draining); Bolt verifies
signatures in HTTP mode only (see bot.http).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog
from slack_bolt import App

from bot import forgotten, membership, sender, slash
from bot.buttons import Buttons
from bot.client import TIMEOUT_SECONDS, web_client
from bot.directory import ANSWER_SECONDS, Directory, groups_of
from bot.draining import Draining, serving, until_idle
from bot.home import publishing
from bot.home.events import Home
from bot.http import BODY_BYTES, Delivered, wsgi
from bot.modals.asking import Asking
from bot.people import People
from bot.wsgi_server import wsgi_server
from commands import grammar
from workers import registry
from workers.records.store import Records
from workers.settings import Settings
from workers.systems.redis import connect

LISTENER_THREADS = 20

_log = structlog.get_logger(__name__)


class Bot:
    """The Slack app and what runs beside it. `start` returns once it can serve; `close` ends it cleanly."""

    def __init__(self, settings: Settings) -> None:
        # Reads every module of commands and operations, which takes longer than Slack waits for an acknowledgement on
        # a busy machine.
        grammar.load()
        registry.operations()
        self._client = web_client(settings)
        self._stop = threading.Event()
        self._settings = settings
        self._senders: list[threading.Thread] = []
        quick = web_client(settings, patient=False, timeout_seconds=ANSWER_SECONDS)
        self._directory = Directory(self._client, groups_of(settings.ops), quick=quick)
        signing_secret = settings.environment.slack_signing_secret
        logging.getLogger("slack_bolt.App").addFilter(_not_about_the_token)
        self.app = App(
            client=self._client,
            signing_secret=signing_secret.get_secret_value() if signing_secret else None,
            token_verification_enabled=False,
            listener_executor=ThreadPoolExecutor(LISTENER_THREADS, thread_name_prefix="listener"),
        )
        redis = connect(settings, answer_within_seconds=1.0)
        People(redis).listen(self.app)
        records = Records(redis)
        pressed = web_client(settings, patient=False)
        asking = Asking(settings.ops, records, self._directory.members, pressed)
        asking.listen(self.app)
        listener = slash.listener(settings.ops, records, self._directory.members)
        self.app.command(slash.COMMAND)(slash.as_typed(asking.around(listener)))
        now = partial(membership.members_now, self._directory, redis)
        Buttons(settings.ops, redis, self._directory.members, pressed, now).listen(self.app)
        Home(settings.ops, redis, self._directory.members, web_client(settings, patient=False)).listen(self.app)

    def start(self) -> None:
        """Read the user groups and begin to send. Raises nothing where Slack or Redis is away: it tries again."""
        self._directory.refresh()
        self._directory.keep_fresh(self._stop)
        membership.start(self._directory, connect(self._settings), self._stop)
        clients = (web_client(self._settings, patient=False) for _ in range(sender.THREADS))
        members = self._directory.members
        self._senders = sender.start(clients, connect(self._settings), self._settings.ops, members, self._stop)
        client = web_client(self._settings, patient=False)
        forgotten.start(client, connect(self._settings), self._settings.ops.channels, self._stop)
        client = web_client(self._settings, patient=False)
        self._senders.append(publishing.start(client, connect(self._settings), self._settings.ops, members, self._stop))

    def close(self) -> None:
        """Finish what is in hand."""
        self._stop.set()
        for each in self._senders:
            each.join(timeout=sender.IDLE_SECONDS + TIMEOUT_SECONDS)


def _not_about_the_token(line: logging.LogRecord) -> bool:
    """Bolt warns that SLACK_BOT_TOKEN is ignored where a client is given; ours has that token."""
    return "`token` will be unused" not in line.getMessage()


def serve_socket_mode(settings: Settings, stop: threading.Event, ready: Callable[[Callable[[], bool]], None]) -> None:
    """Serve over Socket Mode until `stop` is set. ready: called once, with what tells from then on whether Slack is
    connected. Raises SettingsError without an app-level token.
    """
    from slack_bolt.adapter.socket_mode import SocketModeHandler

    settings.environment.require("slack_bot_token", "slack_app_token", "redis_url")
    assert settings.environment.slack_app_token is not None
    bot = Bot(settings)
    bot.start()
    handler = SocketModeHandler(bot.app, settings.environment.slack_app_token.get_secret_value(), concurrency=20)
    draining = Draining(handler.client)
    try:
        handler.connect()  # type: ignore[no-untyped-call]
        ready(handler.client.is_connected)
        stop.wait()
        draining.finish()
    finally:
        handler.close()  # type: ignore[no-untyped-call]
        bot.close()


def serve_http(settings: Settings, host: str, port: int, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Serve Slack's requests at http://host:port/slack/events until `stop` is set; TLS is the ingress's.

    Raises SettingsError without a signing secret, OSError where the port is taken.
    """
    settings.environment.require("slack_bot_token", "slack_signing_secret", "redis_url")
    assert settings.environment.slack_signing_secret is not None
    signing_secret = settings.environment.slack_signing_secret.get_secret_value()
    bot = Bot(settings)
    bot.start()
    server = wsgi_server(
        wsgi(bot.app, Delivered(connect(settings, answer_within_seconds=1.0), signing_secret)),
        host=host,
        port=port,
        threads=LISTENER_THREADS,
        max_request_body_size=BODY_BYTES,
    )
    loop = threading.Thread(target=server.run, name="http", daemon=True)
    try:
        loop.start()
        ready()
        stop.wait()
        channels: Any = getattr(server, "active_channels", {})
        until_idle(lambda: serving(list(channels.values())))
    finally:
        server.close()
        bot.close()
