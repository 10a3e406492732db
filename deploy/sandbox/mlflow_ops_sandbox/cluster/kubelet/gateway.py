"""The inside of a ready ``mlflow`` pod: a reverse proxy to the one real MLflow server.

Only ``/version`` is its own: there it tells the version of the pod's image, as long as the server answers.
Bodies are streamed in both directions, so size does not matter. An upstream that refuses is 502, one that hangs
hangs, and one that breaks off in the middle has the client's connection cut as well: to end the body in order would
make a truncated download look complete. Upstream connections are kept for less time than uvicorn keeps them (5 s),
or a request would now and then meet one that is just being closed.

A gateway that drains still answers, and asks each client to close its connection; idle ones are cut at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from http import HTTPStatus

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

_HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "expect",
    }
)  # fmt: skip
_PIECE = 64 * 1024
_KEEP_ALIVE_SECONDS = 2.0
_CONNECT_SECONDS = 5.0
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_FIRST_LINES = (
    "Started server process [1]",
    "Waiting for application startup.",
    "Application startup complete.",
    "Uvicorn running on http://0.0.0.0:5000 (Press CTRL+C to quit)",
)
PROBE_AGENT = "kube-probe/1.36"
NODE_ADDRESS = "10.244.0.1"


class Gateway:
    """One listening pod."""

    def __init__(
        self, upstream: str, write_line: Callable[[str], None], forwarded: Callable[[], None], version: str
    ) -> None:
        self._upstream = upstream
        self._version = version
        self._write_line = write_line
        self._forwarded = forwarded
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None
        self._draining = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False,
                                              cookie_jar=aiohttp.DummyCookieJar())  # fmt: skip
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None, handler_cancellation=True), shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    def announce(self) -> None:
        """Write the lines with which uvicorn starts."""
        for line in _FIRST_LINES:
            self._write_line(f"INFO:     {line}")

    async def drain(self, linger: float, grace: float) -> None:
        """Return once ``linger`` seconds have passed and no request is being answered; after ``grace`` in any case."""
        self._draining = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(linger)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(began + grace):
                await self._idle.wait()

    async def stop(self) -> None:
        """Cut all connections and stop listening."""
        self.port = 0
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._in_flight += 1
        self._idle.clear()
        try:
            return await self._answer(request)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        answer: web.StreamResponse | None = None
        try:
            async with self._request(request) as reply:
                if request.headers.get("User-Agent") != PROBE_AGENT:
                    self._forwarded()
                if request.path == "/version" and reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    answer = web.Response(text=self._version)
                    await self._begin(request, answer)
                else:
                    answer = _head(request, reply)
                    await self._begin(request, answer)
                    async for piece in reply.content.iter_chunked(_PIECE):
                        await answer.write(piece)
                await answer.write_eof()
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            if answer is not None and answer.prepared:
                if request.transport is not None:
                    request.transport.abort()
            else:
                answer = web.Response(status=502, text=f"upstream: {problem.__class__.__name__}\n")
                await self._begin(request, answer)
                await answer.write_eof()
        self._log(request, answer)
        return answer

    async def _begin(self, request: web.BaseRequest, answer: web.StreamResponse) -> None:
        if self._draining:
            answer.force_close()
        await answer.prepare(request)

    def _request(self, request: web.BaseRequest) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            message = "the gateway is not started"
            raise aiohttp.ClientConnectionError(message)
        return self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=_passed_on(request.headers.items()),
            data=request.content if request.body_exists else None,
            allow_redirects=False,
            skip_auto_headers=_AUTOMATIC,
        )

    def _log(self, request: web.BaseRequest, answer: web.StreamResponse) -> None:
        status = answer.status
        agent = request.headers.get("User-Agent", "")
        if agent == PROBE_AGENT and status == HTTPStatus.OK:
            return
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        port = peer[1] if peer else 0
        version = f"HTTP/{request.version.major}.{request.version.minor}"
        reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
        self._write_line(
            f'INFO:     {NODE_ADDRESS}:{port} - "{request.method} {request.raw_path} {version}" {status} {reason}'
        )


def _passed_on(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    listed = list(headers)
    named = {
        token.strip().lower() for key, value in listed if key.lower() == "connection" for token in value.split(",")
    }
    return CIMultiDict(
        [(key, value) for key, value in listed if key.lower() not in _HOP_BY_HOP and key.lower() not in named]
    )


def _head(request: web.BaseRequest, reply: aiohttp.ClientResponse) -> web.StreamResponse:
    answer = web.StreamResponse(status=reply.status, reason=reply.reason, headers=_passed_on(reply.headers.items()))
    bodiless = request.method == "HEAD" or reply.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    if reply.content_length is None and not bodiless and request.version >= aiohttp.HttpVersion11:
        answer.enable_chunked_encoding()
    return answer
