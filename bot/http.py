"""Slack over HTTP: a guard in front of Bolt, so that nothing but Slack's own, fresh requests reach it.

A request that was signed within five minutes is Slack's, but so is a copy of it: each signature is taken once
(https://docs.slack.dev/authentication/verifying-requests-from-slack). Bolt verifies again; a
timestamp or a signature of another shape would make it raise.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import structlog
from redis import Redis
from redis.exceptions import RedisError
from slack_bolt import App
from slack_sdk.signature import SignatureVerifier

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BODY_BYTES = 1 << 20
"""Slack's payloads are far smaller; more is refused before it is read."""
REMEMBER_SECONDS = 600
"""Twice the age at which Slack's signatures end."""

_TIMESTAMP = re.compile("[0-9]{1,12}")
_SIGNATURE = re.compile("v0=[0-9a-f]{64}")

_log = structlog.get_logger(__name__)


class Delivered:
    """Tells whether a request is Slack's, and is here for the first time."""

    def __init__(self, redis: Redis, signing_secret: str) -> None:
        self._redis = redis
        self._verifier = SignatureVerifier(signing_secret)

    def refusal(self, body: bytes, timestamp: str, signature: str) -> str | None:
        """Why the request is not taken, or None. Where Redis is away a copy is not known, and does no harm then."""
        if not (_TIMESTAMP.fullmatch(timestamp) and _SIGNATURE.fullmatch(signature)):
            return "not a request from Slack"
        if not self._verifier.is_valid(body=body, timestamp=timestamp, signature=signature):
            return "not signed by Slack, or too old"
        try:
            first = self._redis.set(f"{PREFIX}signature:{signature}", "1", nx=True, ex=REMEMBER_SECONDS)
        except RedisError:
            return None
        return None if first else "delivered before"


def wsgi(app: App, delivered: Delivered) -> WSGIApplication:
    """Bolt behind the guard, and /healthz. Whatever is refused gets a 4xx."""
    from slack_bolt.adapter.wsgi import SlackRequestHandler

    bolt: Any = SlackRequestHandler(app)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        def answer(status: str, words: str) -> list[bytes]:
            start_response(status, [("Content-Type", "text/plain")])
            return [f"{words}\n".encode()]

        if environ.get("PATH_INFO") == "/healthz":
            return answer("200 OK", "ok")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            return answer("400 Bad Request", "not UTF-8")
        why = delivered.refusal(
            body, environ.get("HTTP_X_SLACK_REQUEST_TIMESTAMP", ""), environ.get("HTTP_X_SLACK_SIGNATURE", "")
        )
        if why:
            _log.warning("refused", why=why, peer=environ.get("REMOTE_ADDR"))
            return answer("401 Unauthorized", why)
        try:
            return bolt({**environ, "wsgi.input": io.BytesIO(body)}, start_response)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("not understood", error=type(error).__name__)
            return answer("400 Bad Request", "not a payload of Slack's")

    return application
