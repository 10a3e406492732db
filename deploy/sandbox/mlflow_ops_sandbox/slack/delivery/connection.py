"""One WebSocket of the app in Socket Mode, and what Slack says on it of itself: hello, and farewell."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.disturbed import cut

if TYPE_CHECKING:
    from aiohttp import web

    from mlflow_ops_sandbox.slack.errors import Json

LIFETIME_SECONDS = 18060
# A socket is closed soon; it was refreshed, another is to be opened; Socket Mode was switched off.
REASONS = ("warning", "refresh_requested", "link_disabled")


@dataclass(eq=False, slots=True)
class Connection:
    """An open WebSocket. `retiring`: it takes no more envelopes."""

    socket: web.WebSocketResponse
    request: web.Request
    retiring: bool = False
    opened: float = field(default_factory=time.monotonic)

    @property
    def live(self) -> bool:
        """Whether an envelope may be sent here."""
        return not (self.retiring or self.socket.closed)

    async def hello(self, *, app_id: str, connections: int) -> None:
        """Say that the connection stands."""
        host = self.request.host
        debug = {"host": host, "build_number": 1, "approximate_connection_time": LIFETIME_SECONDS}
        info = {"app_id": app_id}
        await self.send({"type": "hello", "num_connections": connections, "debug_info": debug, "connection_info": info})

    async def farewell(self, reason: str) -> None:
        """Ask the app to open another connection; after a mere warning this one still takes envelopes."""
        self.retiring = reason != "warning"
        with contextlib.suppress(ConnectionError):
            await self.send({"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}})

    async def send(self, message: Json) -> None:
        """Send a message. Raises ConnectionError where the app has gone."""
        await self.socket.send_json(message)

    def cut(self, *, silently: bool = False) -> None:
        """Cut it, without a word."""
        cut(self.request, silently=silently)
