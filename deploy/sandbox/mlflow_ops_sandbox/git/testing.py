"""A Git host inside a test: in a thread of its own, on a free port, gone at the end.

with serving(tmp_path, {"apps/deployment.yaml": "…"}) as git:
    github.Github(base_url=git.api, auth=Auth.Token(git.token))
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from mlflow_ops_sandbox.git.api import Host
from mlflow_ops_sandbox.git.pulls import Pulls
from mlflow_ops_sandbox.git.server import PREFIX, create_app
from mlflow_ops_sandbox.git.store import Store

START = 10.0
TOKEN = "ghp_sandbox_that_may_write"  # noqa: S105 - of a host on this machine
READER = "ghp_sandbox_that_may_read"


@dataclass(frozen=True)
class Serving:
    """A Git host that runs."""

    host: Host
    token: str = TOKEN
    reader: str = READER

    @property
    def api(self) -> str:
        """The API's address."""
        return f"{self.host.url}{PREFIX}"


@contextlib.contextmanager
def serving(data: Path, files: Mapping[str, str], *, name: str = "platform/apps") -> Iterator[Serving]:
    """Serve a repository with these files on main until the block ends."""
    store = Store(data / "repository.git")
    store.create("main", files, "The first")
    # Its own address stands in its answers, so the port comes first.
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    host = Host(name, "main", store, Pulls(data / "pulls.json", store), {TOKEN: "write", READER: "read"}, url)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(create_app(host), shutdown_timeout=0.2)

    async def start() -> None:
        await runner.setup()
        await web.SockSite(runner, listener).start()

    thread = threading.Thread(target=loop.run_forever, name="local Git host", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(START)
        yield Serving(host)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(START)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START)
        loop.close()
