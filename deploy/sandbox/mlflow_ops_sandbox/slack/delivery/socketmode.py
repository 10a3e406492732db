"""Socket Mode: the app's open WebSockets, and envelopes that each go to one of them.

An envelope is answered by its id within three seconds or counts as not acknowledged; an answer that
comes later is dropped. The socket that an envelope went to may close meanwhile; Slack then still waits.

Slack tells of repeats in two ways, and so does this: an event that was not acknowledged comes in a new envelope with
`retry_attempt` (see `events`), and now and then the very same envelope comes twice, which nothing but its id tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import secrets
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from mlflow_ops_sandbox.slack.delivery.connection import REASONS, Connection
from mlflow_ops_sandbox.slack.disturbed import cut
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.state.installation import Acknowledgement

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mlflow_ops_sandbox.slack.faults import Faults
    from mlflow_ops_sandbox.slack.state.installation import Timings
    from mlflow_ops_sandbox.slack.state.workspace import Workspace

log = logging.getLogger(__name__)

CONNECTIONS = 10
HEARTBEAT = 10.0
REMEMBERED = 50


class SocketMode:
    """The open connections of the app, and what waits for an answer."""

    def __init__(self, workspace: Workspace, timings: Timings, faults: Faults, clock: Callable[[], float]) -> None:
        """Start with no connection."""
        self._workspace = workspace
        self._timings = timings
        self._faults = faults
        self._clock = clock
        self._tickets: dict[str, float] = {}
        self._connections: list[Connection] = []
        self._turn = itertools.count()
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._again: set[asyncio.Task[None]] = set()
        self._sent: deque[Json] = deque(maxlen=REMEMBERED)
        self.late = 0
        self.changed: Callable[[], None] = lambda: None

    def ticket(self) -> str:
        """Return a ticket for one connection (apps.connections.open)."""
        now = self._clock()
        self._tickets = {key: end for key, end in self._tickets.items() if end > now}
        key = str(uuid.uuid4())
        self._tickets[key] = now + self._timings.socket_ticket
        return key

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket of the app until either side ends it."""
        if self._faults.away:
            cut(request)
            return web.Response(status=503)
        deadline = self._tickets.pop(request.query.get("ticket", ""), 0.0)
        if deadline < self._clock():
            return web.json_response(SlackError("invalid_auth").body(), status=401)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=4 * 1024 * 1024)
        await socket.prepare(request)
        if len(self._live()) >= CONNECTIONS:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return socket
        connection = Connection(socket, request)
        self._connections.append(connection)
        try:
            await connection.hello(app_id=self._workspace.bot.app_id, connections=len(self._live()))
            self.changed()
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledged(message.data)
        finally:
            self._connections.remove(connection)
            self.changed()
        return socket

    async def deliver(self, kind: str, payload: Json, *, attempt: int = 0, reason: str = "") -> Acknowledgement:
        """Send an envelope over one open connection and wait for its acknowledgement."""
        started = time.monotonic()
        live = self._live()
        if self._faults.away or not live:
            return Acknowledgement("dispatch_failed", None, 0.0, reason="timeout")
        envelope: Json = {
            "envelope_id": str(uuid.uuid4()),
            "type": kind,
            "accepts_response_payload": kind != "events_api",
            "payload": payload,
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": attempt, "retry_reason": reason}
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[envelope["envelope_id"]] = answer
        connection = live[next(self._turn) % len(live)]
        try:
            async with asyncio.timeout(self._timings.acknowledge):
                self._sent.append(envelope)
                await connection.send(envelope)
                if self._faults.cut_envelopes:
                    self._faults.cut_envelopes -= 1
                    self._background(self._cut_soon(connection))
                body = await answer
        except TimeoutError:
            return Acknowledgement("operation_timeout", None, time.monotonic() - started, reason="timeout")
        except ConnectionError:
            return Acknowledgement("dispatch_failed", None, time.monotonic() - started, reason="timeout")
        finally:
            self._waiting.pop(envelope["envelope_id"], None)
            self._repeat(envelope)
        return Acknowledgement(None, body.get("payload"), time.monotonic() - started)

    def describe(self) -> Json:
        """Return the number of open connections and of answers that came too late."""
        return {
            "mode": "socket",
            "connections": len(self._live()),
            "connected": bool(self._live()),
            "late_acknowledgements": self.late,
        }

    async def disconnect(self, reason: str) -> int:
        """Tell the app to reconnect, or why it cannot; return how many sockets were told.

        After a `warning` the sockets work on for some seconds. Otherwise they take no more envelopes, and are closed a
        moment later; with `link_disabled` at once, and no new one opens until Socket Mode is switched on again.
        """
        if reason not in REASONS:
            raise InvalidArgumentsError(f"reason: one of {', '.join(REASONS)}")
        told = self._live()
        for connection in told:
            await connection.farewell(reason)
        if reason == "link_disabled":
            self._faults.socket_mode_off = True
            for connection in told:
                await connection.socket.close()
        elif reason == "warning":
            self._background(self._refresh_later(told))
        else:
            self._background(self._close_later(told))
        return len(told)

    async def drop(self, *, silently: bool = False) -> int:
        """Cut every connection without a closing word; return how many."""
        open_now = list(self._connections)
        for connection in open_now:
            connection.cut(silently=silently)
        return len(open_now)

    async def stop(self) -> None:
        """Close every connection in good order."""
        for task in list(self._again):
            task.cancel()
        for connection in list(self._connections):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await connection.socket.close()

    def _live(self) -> list[Connection]:
        return [connection for connection in self._connections if connection.live]

    def _acknowledged(self, data: str) -> None:
        try:
            body = json.loads(data)
        except ValueError:
            log.warning("the app sent something over the socket that is not JSON")
            return
        key = body.get("envelope_id") if isinstance(body, dict) else None
        if not key:
            return
        if self._faults.swallowed_acknowledgements:
            self._faults.swallowed_acknowledgements -= 1
            return
        answer = self._waiting.get(key)
        if answer is None or answer.done():
            self.late += 1
        else:
            answer.set_result(body)

    async def redeliver(self, count: int) -> int:
        """Send the last envelopes once more, each as it was; return how many could be sent."""
        live = self._live()
        again = list(self._sent)[-count:] if live and count > 0 else []
        for envelope in again:
            await self._send_again(envelope)
        return len(again)

    def _repeat(self, envelope: Json) -> None:
        if self._faults.redeliveries:
            self._faults.redeliveries -= 1
            self._background(self._send_again(envelope, after=self._timings.redeliver))

    async def _send_again(self, envelope: Json, *, after: float = 0.0) -> None:
        await asyncio.sleep(after)
        if live := self._live():
            with contextlib.suppress(ConnectionError):
                await secrets.choice(live).send(envelope)

    async def _cut_soon(self, connection: Connection) -> None:
        """Cut a socket once what was written to it is under way."""
        await asyncio.sleep(self._timings.redeliver)
        connection.cut()

    async def _refresh_later(self, warned: list[Connection]) -> None:
        await asyncio.sleep(self._timings.warning)
        left = [connection for connection in warned if not connection.socket.closed]
        for connection in left:
            await connection.farewell("refresh_requested")
        await self._close_later(left)

    async def _close_later(self, told: list[Connection]) -> None:
        await asyncio.sleep(self._timings.acknowledge)
        for connection in told:
            await connection.socket.close()

    def _background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._again.add(task)
        task.add_done_callback(self._again.discard)
