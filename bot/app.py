"""Settings → a Bolt app with its listeners, served over Socket Mode or HTTP until SIGTERM.

Traps: Bolt's five listener threads also serve acknowledgements, so there are more here and none of them waits;
SocketModeHandler.start() does not hear SIGTERM, so it is connected and closed by hand; Bolt verifies signatures in
HTTP mode only, where a timestamp that is no number would raise, so that is refused first.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from slack_bolt import App

from bot import announcer, slash
from bot.directory import Directory, groups_of
from workers.settings import Settings
from workers.state import Records, connect
from workers.thread import web_client

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LISTENER_THREADS = 20
BODY_BYTES = 1 << 20
"""Slack's payloads are far smaller; more is refused before it is read."""

_log = structlog.get_logger(__name__)


class Bot:
    """The Slack app and what runs beside it. `start` returns once it can serve; `close` ends it cleanly."""

    def __init__(self, settings: Settings) -> None:
        self._client = web_client(settings)
        self._stop = threading.Event()
        self._announcing_redis = connect(settings)
        self._directory = Directory(self._client, groups_of(settings.ops))
        signing_secret = settings.environment.slack_signing_secret
        with _without_bolts_advice():
            self.app = App(
                client=self._client,
                signing_secret=signing_secret.get_secret_value() if signing_secret else None,
                token_verification_enabled=False,
                listener_executor=ThreadPoolExecutor(LISTENER_THREADS, thread_name_prefix="listener"),
            )
        records = Records(connect(settings, answer_within_seconds=1.0))
        self.app.command(slash.COMMAND)(slash.listener(settings.ops, records, self._directory.members))

    def start(self) -> None:
        """Read the user groups and begin to announce. Raises nothing where Slack or Redis is away: it retries."""
        self._directory.refresh()
        self._directory.keep_fresh(self._stop)
        consumer = f"{socket.gethostname()}-{secrets.token_hex(3)}"
        self._announcer = threading.Thread(
            target=announcer.keep_announcing,
            args=(self._announcing_redis, self._client, consumer, self._stop),
            name="announcer",
        )
        self._announcer.start()

    def close(self) -> None:
        """Finish what is in hand."""
        self._stop.set()
        self._announcer.join(timeout=10)


@contextmanager
def _without_bolts_advice() -> Iterator[None]:
    """Bolt warns that SLACK_BOT_TOKEN is ignored where a client is given; ours has that token."""
    bolt = logging.getLogger("slack_bolt.App")
    before = bolt.level
    bolt.setLevel(logging.ERROR)
    try:
        yield
    finally:
        bolt.setLevel(before)


def serve_socket_mode(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Serve over Socket Mode until `stop` is set. Raises SettingsError without an app-level token."""
    from slack_bolt.adapter.socket_mode import SocketModeHandler

    settings.environment.require("slack_bot_token", "slack_app_token", "redis_url")
    assert settings.environment.slack_app_token is not None
    bot = Bot(settings)
    bot.start()
    handler = SocketModeHandler(bot.app, settings.environment.slack_app_token.get_secret_value(), concurrency=20)
    try:
        handler.connect()  # type: ignore[no-untyped-call]
        ready()
        stop.wait()
    finally:
        handler.close()  # type: ignore[no-untyped-call]
        bot.close()


def serve_http(settings: Settings, host: str, port: int, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Serve Slack's requests at http://host:port/slack/events until `stop` is set; TLS is the ingress's.

    Raises SettingsError without a signing secret, OSError where the port is taken.
    """
    from waitress.server import create_server

    settings.environment.require("slack_bot_token", "slack_signing_secret", "redis_url")
    bot = Bot(settings)
    bot.start()
    server = create_server(
        wsgi(bot.app), host=host, port=port, threads=LISTENER_THREADS, max_request_body_size=BODY_BYTES, ident=None
    )
    serving = threading.Thread(target=server.run, name="http", daemon=True)
    try:
        serving.start()
        ready()
        stop.wait()
    finally:
        server.close()
        bot.close()


def wsgi(app: App) -> WSGIApplication:
    """Bolt behind a guard: /healthz, and nothing malformed reaches the signature check."""
    from slack_bolt.adapter.wsgi import SlackRequestHandler

    bolt: Any = SlackRequestHandler(app)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if environ.get("PATH_INFO") == "/healthz":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"ok\n"]
        timestamp = environ.get("HTTP_X_SLACK_REQUEST_TIMESTAMP", "")
        if not (timestamp.isascii() and timestamp.isdigit()):
            start_response("401 Unauthorized", [("Content-Type", "text/plain")])
            return [b"not a request from Slack\n"]
        return bolt(environ, start_response)

    return application
