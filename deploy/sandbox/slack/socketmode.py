"""Socket Mode: the app's open WebSockets, and envelopes that each go to one of them.

An envelope is answered by its id within three seconds or counts as not acknowledged; an answer that
comes later is dropped. The socket that an envelope went to may close meanwhile; Slack then still waits.
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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from .errors import Json, SlackError
from .faults import cut
from .installation import Acknowledgement

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .faults import Faults
    from .installation import Timings
    from .workspace import Workspace

log = logging.getLogger(__name__)

CONNECTIONS = 10
HEARTBEAT = 10.0


@dataclass(eq=False, slots=True)
class _Connection:
    socket: web.WebSocketResponse
    request: web.Request
    retiring: bool = False
    opened: float = field(default_factory=time.monotonic)


class SocketMode:
    """The open connections of the app, and what waits for an answer."""

    def __init__(self, workspace: Workspace, timings: Timings, faults: Faults, clock: Callable[[], float]) -> None:
        """Start with no connection."""
        self._workspace = workspace
        self._timings = timings
        self._faults = faults
        self._clock = clock
        self._tickets: dict[str, float] = {}
        self._connections: list[_Connection] = []
        self._turn = itertools.count()
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._again: set[asyncio.Task[None]] = set()
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
        deadline = self._tickets.pop(request.query.get("ticket", ""), 0.0)
        if deadline < self._clock():
            return web.json_response(SlackError("invalid_auth").body(), status=401)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=4 * 1024 * 1024)
        await socket.prepare(request)
        if len(self._live()) >= CONNECTIONS:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return socket
        connection = _Connection(socket, request)
        self._connections.append(connection)
        try:
            await socket.send_json(self._hello(request.host))
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
            return Acknowledgement("dispatch_failed", None, 0.0)
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
                await connection.socket.send_json(envelope)
                body = await answer
        except TimeoutError:
            return Acknowledgement("operation_timeout", None, time.monotonic() - started)
        except ConnectionError:
            return Acknowledgement("dispatch_failed", None, time.monotonic() - started)
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
        """Ask the app to reconnect, as Slack does some times a day; return how many sockets were told.

        The old sockets take no more envelopes and are closed a moment later.
        """
        told = self._live()
        for connection in told:
            connection.retiring = True
            with contextlib.suppress(ConnectionError):
                await connection.socket.send_json(
                    {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}
                )
        self._background(self._close_later(told))
        return len(told)

    async def drop(self, *, silently: bool = False) -> int:
        """Cut every connection without a closing word; return how many."""
        open_now = list(self._connections)
        for connection in open_now:
            cut(connection.request, silently=silently)
        return len(open_now)

    async def stop(self) -> None:
        """Close every connection in good order."""
        for task in list(self._again):
            task.cancel()
        for connection in list(self._connections):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await connection.socket.close()

    def _live(self) -> list[_Connection]:
        return [c for c in self._connections if not c.retiring and not c.socket.closed]

    def _hello(self, host: str) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._live()),
            "debug_info": {
                "host": host,
                "build_number": 1,
                "approximate_connection_time": 18060,
            },
            "connection_info": {"app_id": self._workspace.bot.app_id},
        }

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

    def _repeat(self, envelope: Json) -> None:
        """Deliver the same envelope once more where that was asked for, as Slack does when it is unsure."""
        if not self._faults.redeliveries:
            return
        self._faults.redeliveries -= 1
        self._background(self._send_again(envelope))

    async def _send_again(self, envelope: Json) -> None:
        await asyncio.sleep(self._timings.redeliver)
        live = self._live()
        if live:
            again = {**envelope, "retry_attempt": 1, "retry_reason": "timeout"}
            with contextlib.suppress(ConnectionError):
                await secrets.choice(live).socket.send_json(again)

    async def _close_later(self, told: list[_Connection]) -> None:
        await asyncio.sleep(self._timings.acknowledge)
        for connection in told:
            await connection.socket.close()

    def _background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._again.add(task)
        task.add_done_callback(self._again.discard)
