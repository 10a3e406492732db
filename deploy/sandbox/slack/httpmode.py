"""HTTP mode: signed requests to the app's request URL, as api.slack.com sends them.

Three seconds; anything but 200 is a failure. Events carry X-Slack-Retry-Num and X-Slack-Retry-Reason when
they are sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession, ClientTimeout

from .errors import Json
from .installation import Acknowledgement

if TYPE_CHECKING:
    from collections.abc import Callable

    from .faults import Faults
    from .installation import Timings
    from .workspace import Workspace

OK = 200
SERVER_ERROR = 500


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
        self._last_error: str | None = "never reached"

    async def deliver(self, kind: str, payload: Json, *, attempt: int = 0, reason: str = "") -> Acknowledgement:
        """Post a payload and read the answer; a body that is JSON comes back parsed."""
        if self._faults.away:
            return Acknowledgement("dispatch_failed", None, 0.0)
        content_type, body = _encoded(kind, payload)
        retry = {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": reason} if attempt else {}
        acknowledgement = await self._post(content_type, body, retry)
        if self._faults.swallowed_acknowledgements and acknowledgement.error is None:
            self._faults.swallowed_acknowledgements -= 1
            acknowledgement = Acknowledgement("operation_timeout", None, acknowledgement.seconds)
        self._last_error = acknowledgement.error
        if self._faults.redeliveries:
            self._faults.redeliveries -= 1
            task = asyncio.ensure_future(self._send_again(content_type, body))
            self._again.add(task)
            task.add_done_callback(self._again.discard)
        return acknowledgement

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

    async def _send_again(self, content_type: str, body: bytes) -> None:
        await asyncio.sleep(self._timings.redeliver)
        retry = {"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"}
        await self._post(content_type, body, retry)

    async def _post(self, content_type: str, body: bytes, headers: dict[str, str]) -> Acknowledgement:
        if self._session is None:
            self._session = ClientSession(trust_env=False)
        started = time.monotonic()
        moment = str(int(self._clock()))
        base = b"v0:" + moment.encode() + b":" + body
        digest = hmac.new(self._workspace.tokens.signing_secret.encode(), base, hashlib.sha256)
        headers = {
            **headers,
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": moment,
            "X-Slack-Signature": f"v0={digest.hexdigest()}",
        }
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
                    error = "http_service_error" if server else "http_client_error"
        except TimeoutError:
            error = "operation_timeout"
        except ClientError:
            error = "dispatch_failed"
        return Acknowledgement(error, parsed, time.monotonic() - started)


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
