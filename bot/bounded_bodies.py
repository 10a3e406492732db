"""Requests of any size, of which only so much is kept as will be read: the rest is taken from the wire and dropped.

waitress keeps a whole body, on disk where it is large, before the application is asked; what is above its limit it
refuses without a word to the application. Its receivers put what arrives into a buffer, which is bounded here.
"""

from __future__ import annotations

from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser


class _Bounded:
    """waitress' buffer, up to so many bytes (waitress.buffers)."""

    def __init__(self, buffer: Any, most: int) -> None:
        self._buffer = buffer
        self._most = most

    def __len__(self) -> int:
        return len(self._buffer)

    def append(self, data: bytes) -> None:
        room = self._most - len(self._buffer)
        if room > 0:
            self._buffer.append(data[:room])

    def getfile(self) -> Any:
        return self._buffer.getfile()

    def close(self) -> None:
        self._buffer.close()


def bounded(servers: dict[Any, Any], most: int) -> None:
    """Have waitress keep so much of each body. servers: the map that was given to create_server."""

    class Parser(HTTPRequestParser):
        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            receiver: Any = self.body_rcv
            if receiver is not None:
                receiver.buf = _Bounded(receiver.buf, most)

    class Channel(HTTPChannel):
        parser_class = Parser

    for server in servers.values():
        if hasattr(server, "channel_class"):
            server.channel_class = Channel
