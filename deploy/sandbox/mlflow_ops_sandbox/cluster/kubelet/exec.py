"""pods/<name>/exec over WebSocket: a real process, its streams on numbered channels, its end as a Status.

Channels: 0 standard input, 1 standard output, 2 standard error, 3 the Status at the end, 4 the terminal's size, and
in v5 255 for the end of another channel. Every message begins with the byte of its channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from mlflow_ops_sandbox.cluster.api.objects import Object, containers_of, name_of
from mlflow_ops_sandbox.cluster.api.requests import Target, is_true
from mlflow_ops_sandbox.cluster.api.resources import PODS
from mlflow_ops_sandbox.cluster.api.status import ApiError, bad_request, internal_error
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.kubelet.container_environment import MissingConfigError, environment_of
from mlflow_ops_sandbox.cluster.kubelet.container_process import kill_group
from mlflow_ops_sandbox.cluster.kubelet.log_requests import container_of
from mlflow_ops_sandbox.cluster.kubelet.programs import ProgramNotFoundError, Programs

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_PIECE = 32 * 1024
_GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What one request asks for."""

    command: list[str]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def from_query(cls, query: Mapping[str, str], command: list[str]) -> _Wanted:
        streams = {name: is_true(query.get(name)) for name in ("stdin", "stdout", "stderr", "tty")}
        if not any(streams[name] for name in ("stdin", "stdout", "stderr")):
            message = "you must specify at least 1 of stdin, stdout, stderr"
            raise bad_request(message)
        return cls(command, **streams)


@dataclass(frozen=True, slots=True)
class Executor:
    """Answers requests to run a command in a pod."""

    store: Store
    programs: Programs

    async def stream(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Answer one request. Raises ApiError before the connection is upgraded."""
        pod = self.store.get(PODS, target.namespace, target.name)
        wanted = _Wanted.from_query(request.query, request.query.getall("command", []))
        name = container_of(pod, request.query.get("container", ""))
        _require_running(pod, name)
        socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0)
        if not socket.can_prepare(request).ok:
            message = "Upgrade request required"
            raise bad_request(message)
        offered = {entry.strip() for entry in request.headers.get("Sec-WebSocket-Protocol", "").split(",")}
        if not offered & set(PROTOCOLS):
            message = f"unable to upgrade: unable to negotiate protocol: client supports {sorted(offered)}"
            raise ApiError(403, "Forbidden", message)
        container = next(entry for entry in containers_of(pod) if entry["name"] == name)
        await socket.prepare(request)
        status = await self._run(socket, pod, container, wanted)
        with contextlib.suppress(ConnectionError):
            await socket.send_bytes(bytes([_ERROR]) + json.dumps(status).encode())
            await socket.close()
        return socket

    async def _run(self, socket: web.WebSocketResponse, pod: Object, container: Object, wanted: _Wanted) -> Object:
        """Run the command; return the Status of its end."""
        command = wanted.command or ["sh"]
        try:
            values = environment_of(self.store, pod, container)
        except MissingConfigError:
            values = {}
        try:
            image = str(container["image"])
            process = await self.programs.start(command, image, values, name_of(pod), apart=not wanted.tty)
        except ProgramNotFoundError as problem:
            start = "error executing command in container: failed to exec in container: failed to start exec"
            reason = "OCI runtime exec failed: exec failed: unable to start container process"
            return internal_error(f"{start}: {reason}: {problem}").to_object()
        if not wanted.stdin and process.stdin is not None:
            process.stdin.close()
        incoming = asyncio.create_task(_take_in(socket, process))
        streams = ((process.stdout, _STDOUT, wanted.stdout), (process.stderr, _STDERR, wanted.stderr))
        outgoing = [
            asyncio.create_task(_give_out(socket, stream, channel, shown=shown))
            for stream, channel, shown in streams
            if stream is not None
        ]
        try:
            code = await _end_of(process, incoming)
            # Whatever the program left running may keep its output open for ever.
            await asyncio.wait(outgoing, timeout=_GRACE_SECONDS)
        finally:
            kill_group(process)
            for task in (incoming, *outgoing):
                task.cancel()
            await asyncio.gather(incoming, *outgoing, return_exceptions=True)
        return _status(command, code)


async def _end_of(process: asyncio.subprocess.Process, incoming: asyncio.Task[None]) -> int:
    """Wait for the end; a program whose client has gone is killed."""
    ended = asyncio.create_task(process.wait())
    await asyncio.wait([ended, incoming], return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        kill_group(process)
    code = await ended
    return code if code >= 0 else 128 - code


async def _take_in(socket: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
    """Pass standard input on; returns once the client has gone."""
    stdin = process.stdin
    async for message in socket:
        data = message.data.encode() if message.type == aiohttp.WSMsgType.TEXT else message.data
        if message.type not in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT} or not data or stdin is None:
            continue
        with contextlib.suppress(ConnectionError, RuntimeError):  # the program has closed its input
            if data[0] == _STDIN:
                stdin.write(data[1:])
                await stdin.drain()
            elif data[0] == _CLOSE and data[1:2] == bytes([_STDIN]):
                stdin.close()


async def _give_out(socket: web.WebSocketResponse, stream: asyncio.StreamReader, channel: int, *, shown: bool) -> None:
    while data := await stream.read(_PIECE):
        if shown:
            await socket.send_bytes(bytes([channel]) + data)


def _status(command: list[str], code: int) -> Object:
    if not code:
        return {"metadata": {}, "status": "Success"}
    shown = " ".join(command)
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: error executing command [{shown}], exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _require_running(pod: Object, container: str) -> None:
    if not pod["spec"].get("nodeName"):
        message = f"pod {name_of(pod)} does not have a host assigned"
        raise bad_request(message)
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    state: Object = next((status["state"] for status in statuses if status["name"] == container), {})
    if "running" not in state:
        message = f'unable to upgrade connection: container not found ("{container}")'
        raise internal_error(message)
