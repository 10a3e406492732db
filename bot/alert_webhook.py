"""Alertmanager's webhook, as the bot serves it: POST /alerts.

A notification of any size is taken: as much of it as is read is kept while it arrives, and what is too large is told
with a count. It is answered with 200 once all of it stands in Redis, so one whose answer was lost is delivered again
and has no second effect. What is no notification gets a 4xx, which Alertmanager does not repeat; where Redis is away it
gets 503, which it does. Its secret is compared in constant time; TLS, also mutual TLS, is the ingress's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError

from bot.alerts import Alerts
from bot.wsgi_server import wsgi_server
from workers.operations.alerts.notification import NotificationError, read
from workers.operations.alerts.store import Busy
from workers.operations.alerts.stream import READ_BYTES, Source
from workers.operations.choices import CHECKS
from workers.settings import SettingsError
from workers.systems.redis import connect
from workers.wording import nearest

if TYPE_CHECKING:
    from workers.settings import Ops, Settings

KEPT_BYTES: Final = READ_BYTES + 1
"""Of a body; what comes after is taken from the wire and dropped."""
ANY_SIZE: Final = 1 << 40
THREADS: Final = 4
PATH: Final = "/alerts"

Answer = tuple[str, str, *tuple[tuple[str, str], ...]]
"""Status, words, and further headers."""

_log = structlog.get_logger(__name__)


def authorised(header: str, secret: str) -> bool:
    """Whether an Authorization header bears the secret: as a bearer token, or as a password of basic authentication."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given.strip(), validate=True).decode("utf-8", "replace").partition(":")[2]
        except (binascii.Error, ValueError):
            given = ""
    elif scheme.lower() != "bearer":
        given = ""
    # Digests, so that not even the length takes a different time.
    return hmac.compare_digest(_digest(given.strip()), _digest(secret))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def app(alerts: Alerts, secret: str) -> Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]:
    """POST /alerts, and GET /healthz."""

    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        status, said, *headers = _answer(environ, alerts, secret)
        start(status, [("Content-Type", "text/plain; charset=utf-8"), *headers])
        return [f"{said}\n".encode()]

    return serve


def _answer(environ: dict[str, Any], alerts: Alerts, secret: str) -> Answer:
    path = environ.get("PATH_INFO", "")
    if path == "/healthz":
        return "200 OK", "ok"
    if path != PATH:
        return "404 Not Found", f"Alertmanager's webhook is {PATH}"
    if environ.get("REQUEST_METHOD") != "POST":
        return "405 Method Not Allowed", "POST only", ("Allow", "POST")
    if not authorised(environ.get("HTTP_AUTHORIZATION", ""), secret):
        _log.warning("refused: not Alertmanager's secret", peer=environ.get("REMOTE_ADDR"))
        return "401 Unauthorized", "give the secret as a bearer token", ("WWW-Authenticate", "Bearer")
    return _taken(environ["wsgi.input"], alerts)


def _taken(body: Source, alerts: Alerts) -> Answer:
    try:
        alerts.take(read(body))
    except NotificationError as error:
        _log.warning("refused: no notification of Alertmanager's", why=str(error))
        return "400 Bad Request", str(error)
    except (RedisError, Busy) as error:
        _log.error("an alert could not be kept; Alertmanager tries again", error=type(error).__name__)
        return "503 Service Unavailable", "try again"
    except Exception:  # noqa: BLE001 - whatever it is, Alertmanager repeats what was answered with 503
        incident = uuid.uuid4().hex[:8]
        _log.exception("unexpected error", incident=incident)
        return "503 Service Unavailable", f"unexpected (id {incident})"
    return "200 OK", "taken"


def _check(ops: Ops) -> None:
    if not (ops.alerts.channels or ops.channels):
        msg = "There is no channel for alerts: name one under alerts.channels in ops.yaml."
        raise SettingsError(msg)
    for name, chosen in ops.alerts.checks.items():
        unknown = next((each for each in chosen if each not in CHECKS), None)
        if unknown:
            near = nearest(unknown, CHECKS)
            right = f"did you mean {near}?" if near else f"known are {', '.join(CHECKS)}."
            msg = f"alerts.checks.{name} is wrong: there is no check {unknown!r}; {right}"
            raise SettingsError(msg)


@contextmanager
def served(settings: Settings, host: str, port: int | None) -> Iterator[None]:
    """Serve the webhook for as long as this goes on; nothing without a port.

    Raises SettingsError without a secret or a channel, or for a check that is none; OSError where the port is taken.
    """
    if port is None:
        yield
        return
    from bot.bounded_bodies import bounded

    settings.environment.require("alerts_secret", "redis_url")
    _check(settings.ops)
    assert settings.environment.alerts_secret is not None
    alerts = Alerts(settings.ops, connect(settings, answer_within_seconds=2.0))
    serving = app(alerts, settings.environment.alerts_secret.get_secret_value())
    servers: dict[Any, Any] = {}
    server = wsgi_server(serving, host=host, port=port, threads=THREADS, map=servers, max_request_body_size=ANY_SIZE)
    bounded(servers, KEPT_BYTES)
    threading.Thread(target=server.run, name="alerts", daemon=True).start()
    try:
        yield
    finally:
        server.close()
