"""The inside of the other pods: a real process that somebody else started, or nothing at all."""

from __future__ import annotations

import asyncio
from typing import Protocol

import aiohttp
import psutil

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.kubelet.gateway import PROBE_AGENT, Gateway
from mlflow_ops_sandbox.cluster.kubelet.mlflow_servers import MlflowServers
from mlflow_ops_sandbox.cluster.wiring import Process


class Backing(Protocol):
    """What runs within a pod."""

    async def start(self) -> None:
        """Begin to serve."""

    def announce(self) -> None:
        """Write to the container's log what it begins with."""

    async def stop(self) -> None:
        """Cease to serve."""

    async def drain(self, linger: float, grace: float) -> None:
        """Still serve for ``linger`` seconds, and finish what was begun within ``grace``."""

    def address(self) -> tuple[str, int] | None:
        """Return where the pod can be reached in truth, None while it cannot."""

    async def probe(self, probe: Object, pod_ip: str) -> str:
        """Perform a readiness probe; return what is wrong in the kubelet's words, empty when it succeeded."""


class MlflowBacking:
    """A gateway to MLflow, in the version of its image."""

    def __init__(self, gateway: Gateway, servers: MlflowServers, version: str) -> None:
        self._gateway = gateway
        self._servers = servers
        self._version = version
        self._uses = False

    async def start(self) -> None:
        """Begin to listen."""
        if not self._uses:
            self._uses = True
            await self._servers.use(self._version)
        await self._gateway.start()

    def announce(self) -> None:
        """Write what MLflow's server writes when it starts."""
        self._gateway.announce()

    async def stop(self) -> None:
        """Stop listening."""
        await self._gateway.stop()
        if self._uses:
            self._uses = False
            await self._servers.leave(self._version)

    async def drain(self, linger: float, grace: float) -> None:
        """Let the gateway finish."""
        await self._gateway.drain(linger, grace)

    def address(self) -> tuple[str, int] | None:
        """Return the gateway's address."""
        return ("127.0.0.1", self._gateway.port) if self._gateway.port else None

    async def probe(self, probe: Object, pod_ip: str) -> str:
        """GET the probe's path through the gateway."""
        action = probe.get("httpGet") or {}
        path, port = str(action.get("path", "/health")), action.get("port", 5000)
        shown = f'Get "http://{pod_ip}:{port}{path}"'
        address = self.address()
        if address is None:
            return f"{shown}: dial tcp {pod_ip}:{port}: connect: connection refused"
        timeout = aiohttp.ClientTimeout(total=float(probe.get("timeoutSeconds", 1)))
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{address[1]}{path}", headers={"User-Agent": PROBE_AGENT}) as reply,
            ):
                status = reply.status
        except TimeoutError:
            return f"{shown}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        except (aiohttp.ClientError, OSError):
            return f"{shown}: dial tcp {pod_ip}:{port}: connect: connection refused"
        return "" if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"  # noqa: PLR2004


class ProcessBacking:
    """A process that is watched: PostgreSQL, MinIO."""

    def __init__(self, process: Process, container_port: int) -> None:
        self._process = process
        self._container_port = container_port

    async def start(self) -> None:
        """Do nothing: the supervisor starts it."""

    def announce(self) -> None:
        """Do nothing: it writes by itself."""

    async def stop(self) -> None:
        """Do nothing: the supervisor stops it."""

    async def drain(self, linger: float, grace: float) -> None:
        """Do nothing: there is nothing of our own to finish."""

    def address(self) -> tuple[str, int] | None:
        """Return the process's address."""
        return ("127.0.0.1", self._process.port) if self._process.port else None

    async def probe(self, probe: Object, pod_ip: str) -> str:
        """Look whether the process lives and its port answers."""
        refused = f"dial tcp {pod_ip}:{self._container_port}: connect: connection refused"
        pid = self._process.pid()
        if self._process.pid_file is not None and (pid is None or not psutil.pid_exists(pid)):
            return refused
        if not self._process.port:
            return ""
        try:
            async with asyncio.timeout(float(probe.get("timeoutSeconds", 1))):
                _, writer = await asyncio.open_connection("127.0.0.1", self._process.port)
        except TimeoutError:
            return f"dial tcp {pod_ip}:{self._container_port}: i/o timeout"
        except OSError:
            return refused
        writer.close()
        return ""


class NothingBacking:
    """A pod without a process: it is always ready."""

    async def start(self) -> None:
        """Do nothing."""

    def announce(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    async def drain(self, linger: float, grace: float) -> None:
        """Do nothing: there is nothing of our own to finish."""

    def address(self) -> tuple[str, int] | None:
        """Return None: nobody listens."""
        return None

    async def probe(self, probe: Object, pod_ip: str) -> str:
        """Succeed."""
        del probe, pod_ip
        return ""
