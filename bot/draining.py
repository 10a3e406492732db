"""The end of a bot: what it has in its hands is answered before its way to Slack is closed.

Slack sends an envelope to one of the app's sockets and waits three seconds; it does not send it again where that socket
closes, and nothing in the protocol asks it to send no more. So a bot that is asked to end goes on answering until there
is nothing that it has taken and not yet answered, and closes in a moment of silence: what comes next goes to another
bot. What Slack sends in the very moment of closing is left alone, since it could not be answered: Slack tells who typed
it that it failed, and then it must not be done.

Trap: slack_sdk's `close` waits for the thread that reads, which wakes with the next envelope, takes it up, and cannot
answer it any more; so that thread is woken by shutting the socket.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PATIENCE_SECONDS: Final = 4.0
"""Longer than Slack waits for an answer."""
LOOK_SECONDS: Final = 0.005
SILENCE_SECONDS: Final = 0.05

_log = structlog.get_logger(__name__)


class Draining:
    """Counts the envelopes that were read and are not answered yet. client: slack_sdk's SocketModeClient, complete with
    the listeners that handle its requests.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._in_hand = 0
        self._read_at = 0.0
        self._over = False
        client.on_message_listeners.append(self._read)
        client.socket_mode_request_listeners = [
            self._counted(listener) for listener in client.socket_mode_request_listeners
        ]

    def finish(self) -> None:
        """Return once all is answered and nothing more is taken; then the client can be closed."""
        until_idle(self._goes_on)
        self._over = True
        session = self._client.current_session
        if session is not None and session.sock is not None:
            with contextlib.suppress(OSError):
                session.sock.shutdown(socket.SHUT_RDWR)

    def _goes_on(self) -> bool:
        with self._lock:
            if self._in_hand <= 0 and time.monotonic() - self._read_at >= SILENCE_SECONDS:
                self._over = True
            return not self._over

    def _read(self, message: str) -> None:
        if '"envelope_id"' in message:
            with self._lock:
                self._in_hand += 1
                self._read_at = time.monotonic()

    def _counted(self, listener: Callable[..., None]) -> Callable[..., None]:
        def handled(*arguments: Any) -> None:
            if self._over:
                return
            try:
                listener(*arguments)
            finally:
                with self._lock:
                    self._in_hand -= 1

        return handled


def serving(channels: Iterable[Any]) -> bool:
    """Whether one of waitress' connections has a request that is not answered to its last byte."""
    return any(channel.requests or channel.total_outbufs_len for channel in channels)


def until_idle(busy: Callable[[], bool], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Return as soon as nothing is in hand, or after so long."""
    deadline = time.monotonic() + patience_seconds
    while busy():
        if time.monotonic() >= deadline:
            _log.warning("ends although something was not answered")
            return
        time.sleep(LOOK_SECONDS)
