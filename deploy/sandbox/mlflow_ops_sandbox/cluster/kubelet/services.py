"""Services as real listeners: a connection to a Service's port goes on to one of its ready pods, in turn.

Like kube-proxy this works on connections, not on requests: a client that keeps its connection stays with its pod.
With no ready pod the port refuses connections. Trap: a port that is given up in between could be taken by somebody
else, so one socket stays bound to it all the time and never listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

_PIECE = 64 * 1024
Addresses = Callable[[], list[tuple[str, int]]]


class ServiceListener:
    """The port of one Service."""

    def __init__(self, port: int, addresses: Addresses) -> None:
        self._addresses = addresses
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._placeholder = _bound(port)
        self.port = int(self._placeholder.getsockname()[1])

    async def refresh(self) -> None:
        """Listen if there is a ready pod, refuse if there is none."""
        if self._addresses():
            if self._server is None:
                self._server = await asyncio.start_server(self._accept, sock=_bound(self.port), limit=_PIECE)
        elif self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """Give up the port and cut all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        self._placeholder.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            await self._forward(reader, writer)
        finally:
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        addresses = self._addresses()
        if not addresses:
            return
        self._turn += 1
        turn = self._turn % len(addresses)
        opened = await _open_first(addresses[turn:] + addresses[:turn])
        if opened is None:
            return
        pod_reader, pod_writer = opened
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, pod_writer))
                both.create_task(_pump(pod_reader, writer))
        except* OSError:
            pass  # one side has broken off: both are cut
        finally:
            pod_writer.transport.abort()


async def _open_first(
    addresses: list[tuple[str, int]],
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Connect to the first that accepts; one may have gone since the list was made."""
    for host, port in addresses:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(host, port, limit=_PIECE)
    return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()


def _bound(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setblocking(False)  # noqa: FBT003 - the socket module has it so
    made.bind(("127.0.0.1", port))
    return made
