"""HTTP mode: signed requests to the app's request URL, as api.slack.com sends them.

Three seconds; anything but 200 is a failure. Events carry X-Slack-Retry-Num and X-Slack-Retry-Reason when they are
sent again, unless the app answered X-Slack-No-Retry. Commands and clicks are never retried: one that comes twice is a
replay, with the signature and time of the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession, ClientTimeout

from mlflow_ops_sandbox.slack.errors import Json
from mlflow_ops_sandbox.slack.state.installation import Acknowledgement

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mlflow_ops_sandbox.slack.faults import Faults
    from mlflow_ops_sandbox.slack.state.installation import Timings
    from mlflow_ops_sandbox.slack.state.workspace import Workspace

OK = 200
SERVER_ERROR = 500
REMEMBERED = 50


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request as it was made."""

    kind: str
    body: bytes
    headers: dict[str, str]


class HttpMode:
    """The way to an app that listens for requests."""

    def __init__(self, workspace: Workspace, timings: Timings, faults: Faults, clock: Callable[[], float]) -> None:
        """Make no request yet."""
        self._workspace = workspace
        self._timings = timings
        self._faults = faults
        self._clock = clock
        self._session: ClientSession | None = None
        self._again: set[asyncio.Task[None]] = set()
        self._sent: deque[_Sent] = deque(maxlen=REMEMBERED)
        self._last_error: str | None = "never reached"

    async def deliver(self, kind: str, payload: Json, *, attempt: int = 0, reason: str = "") -> Acknowledgement:
        """Post a payload and read the answer; a body that is JSON comes back parsed."""
        if self._faults.away:
            return Acknowledgement("dispatch_failed", None, 0.0, reason="connection_failed")
        content_type, body = _encoded(kind, payload)
        sent = _Sent(kind, body, self._signed(body) | {"Content-Type": content_type})
        self._sent.append(sent)
        acknowledgement = await self._post(body, sent.headers | _retry(attempt, reason))
        if self._faults.swallowed_acknowledgements and acknowledgement.error is None:
            self._faults.swallowed_acknowledgements -= 1
            seconds = acknowledgement.seconds
            acknowledgement = Acknowledgement("operation_timeout", None, seconds, reason="http_timeout")
        self._last_error = acknowledgement.error
        if self._faults.redeliveries:
            self._faults.redeliveries -= 1
            self._later(self._send_again(sent, after=self._timings.redeliver))
        return acknowledgement

    async def redeliver(self, count: int) -> int:
        """Send the last requests once more: an event as a retry, all else as it was, to the last header."""
        again = list(self._sent)[-count:] if count > 0 else []
        for sent in again:
            self._later(self._send_again(sent))
        return len(again)

    async def verify(self) -> bool:
        """Send Slack's url_verification challenge; say whether the app answered it."""
        challenge = secrets.token_urlsafe(24)
        payload = {"token": "sandbox", "challenge": challenge, "type": "url_verification"}
        answer = await self.deliver("events_api", payload)
        said = answer.body.get("challenge") if isinstance(answer.body, dict) else answer.body
        return said == challenge

    def describe(self) -> Json:
        """Return where requests go, and whether the last one was answered."""
        return {
            "mode": "http",
            "request_url": self._workspace.request_url,
            "connected": self._last_error is None,
            "last_error": self._last_error,
        }

    async def stop(self) -> None:
        """Close the connections to the app."""
        for task in list(self._again):
            task.cancel()
        if self._session is not None:
            await self._session.close()

    def _later(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._again.add(task)
        task.add_done_callback(self._again.discard)

    async def _send_again(self, sent: _Sent, *, after: float = 0.0) -> None:
        await asyncio.sleep(after)
        if sent.kind == "events_api":
            await self._post(sent.body, sent.headers | self._signed(sent.body) | _retry(1, "http_timeout"))
        else:
            await self._post(sent.body, sent.headers)

    def _signed(self, body: bytes) -> dict[str, str]:
        moment = str(int(self._clock()))
        base = b"v0:" + moment.encode() + b":" + body
        digest = hmac.new(self._workspace.tokens.signing_secret.encode(), base, hashlib.sha256)
        return {
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": moment,
            "X-Slack-Signature": f"v0={digest.hexdigest()}",
        }

    async def _post(self, body: bytes, headers: dict[str, str]) -> Acknowledgement:
        if self._session is None:
            self._session = ClientSession(trust_env=False)
        started = time.monotonic()
        final = False
        reason = ""
        error: str | None = None
        parsed: Json | str | None = None
        try:
            async with self._session.post(
                self._workspace.request_url,
                data=body,
                headers=headers,
                timeout=ClientTimeout(total=self._timings.acknowledge),
                allow_redirects=False,
            ) as response:
                text = await response.text()
                if response.status == OK:
                    parsed = _parsed(text)
                else:
                    server = response.status >= SERVER_ERROR
                    error, reason = "http_service_error" if server else "http_client_error", "http_error"
                    final = response.headers.get("X-Slack-No-Retry") == "1"
        except TimeoutError:
            error, reason = "operation_timeout", "http_timeout"
        except ClientError:
            error, reason = "dispatch_failed", "connection_failed"
        return Acknowledgement(error, parsed, time.monotonic() - started, reason=reason, final=final)


def _retry(attempt: int, reason: str) -> dict[str, str]:
    return {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": reason} if attempt else {}


def _encoded(kind: str, payload: Json) -> tuple[str, bytes]:
    if kind == "slash_commands":
        return "application/x-www-form-urlencoded", urlencode(payload).encode()
    if kind == "interactive":
        form = {"payload": json.dumps(payload)}
        return "application/x-www-form-urlencoded", urlencode(form).encode()
    return "application/json", json.dumps(payload).encode()


def _parsed(text: str) -> Json | str | None:
    with contextlib.suppress(ValueError):
        body = json.loads(text)
        if isinstance(body, dict):
            return body
    return text or None
