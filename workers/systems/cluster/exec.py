"""A program in a container of a pod, as `kubectl exec` runs it.

Traps this avoids: the client's `stream` puts another `call_api` into its ApiClient while it runs, so each program gets
a client of its own; it keeps all output for ever, so frames are read here, up to a length; and it waits without end.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from workers.systems.errors import ClusterError, ClusterForbidden, ClusterNotFound, ClusterUnreachable

if TYPE_CHECKING:
    import websocket

    from workers.systems.cluster.client import Cluster

MOST_BYTES: Final = 1_000_000
_OUT, _ERRORS, _END = 1, 2, 3


@dataclass(frozen=True)
class Ended:
    """What a program has written, and its exit code. problem: why it could not be started, in the runtime's words."""

    output: str
    errors: str
    code: int
    problem: str = ""


def run_inside(cluster: Cluster, pod: str, container: str, command: list[str], *, seconds: float) -> Ended:
    """Run a program without a shell and without input, until its end.

    Raises ClusterError where it cannot be asked for or has not ended after so many seconds (it is then left alone).
    """
    import websocket
    from kubernetes.client import ApiClient, CoreV1Api
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import stream

    websocket.setdefaulttimeout(cluster.requests.answer_within_seconds)
    api = CoreV1Api(ApiClient(cluster.requests.api.configuration))
    held = {_OUT: bytearray(), _ERRORS: bytearray(), _END: bytearray()}
    until = time.monotonic() + seconds
    try:
        connection: Any = stream(
            api.connect_get_namespaced_pod_exec,
            pod,
            cluster.namespace,
            container=container,
            command=command,
            stdin=False,
            stdout=True,
            stderr=True,
            tty=False,
            binary=True,
            _preload_content=False,
        )
        try:
            if not _taken(connection.sock, held, until):
                raise ClusterError(f"{command[0]} in {pod}/{container} did not end within {seconds:.0f} s.")
        finally:
            with contextlib.suppress(websocket.WebSocketException, OSError):
                connection.close()
    except ApiException as error:
        # The client keeps only the words of what has happened; that itself is what it was handling then.
        raise _refusal(cluster, pod, error.__context__) from None
    except (websocket.WebSocketException, OSError) as error:
        message = f"The connection to {pod}/{container} broke off ({type(error).__name__})."
        raise ClusterUnreachable(message, "Check the node that it runs on.") from None
    return _ended(held)


def _taken(sock: websocket.WebSocket, held: dict[int, bytearray], until: float) -> bool:
    """Read frame by frame to the end; False where there is none until then. Raises ClusterError where it is too much.

    The client's own `update` reads all that has come before it returns, however much that is.
    """
    import websocket

    while (left := until - time.monotonic()) > 0:
        sock.settimeout(min(left, 1.0))
        try:
            opcode, frame = sock.recv_data_frame(control_frame=True)
        except websocket.WebSocketTimeoutException:
            continue
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return True
        if opcode not in {websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT} or not frame.data:
            continue
        channel = held.get(frame.data[0])
        if channel is not None:
            channel += frame.data[1:]
        if sum(map(len, held.values())) > MOST_BYTES:
            raise ClusterError("A program in a pod writes more than can be read.")
    return False


def _ended(held: dict[int, bytearray]) -> Ended:
    output, errors = (held[channel].decode("utf-8", "replace") for channel in (_OUT, _ERRORS))
    try:
        status = json.loads(held[_END])
    except ValueError:
        status = {}
    if status.get("status") == "Success":
        return Ended(output, errors, 0)
    causes = (status.get("details") or {}).get("causes") or ()
    for cause in causes:
        if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdigit():
            return Ended(output, errors, int(cause["message"]))
    return Ended(output, errors, -1, str(status.get("message") or "the connection ended before the program did")[:300])


def _refusal(cluster: Cluster, pod: str, why: BaseException | None) -> ClusterError:
    import websocket

    if not isinstance(why, websocket.WebSocketBadStatusException):
        return ClusterUnreachable(
            f"Kubernetes at {cluster.address} does not answer.", "Check the API server and the network to it."
        )
    words = _message(why.resp_body)
    match why.status_code:
        case HTTPStatus.FORBIDDEN:
            message = f"Our account may not run programs in pods of {cluster.namespace}."
            return ClusterForbidden(
                message, "It needs get and create on pods/exec: kubectl apply -k deploy/kubernetes/exec"
            )
        case HTTPStatus.NOT_FOUND:
            return ClusterNotFound(f"Kubernetes: {words or pod + ' is gone'}.")
        case code:
            return ClusterError(f"Kubernetes at {cluster.address} answers {code}: {words or 'no reason given'}.")


def _message(body: bytes | None) -> str:
    """Of the Status that the API server answers a refused handshake with."""
    try:
        status = json.loads(body or b"")
    except ValueError:
        return ""
    return str(status.get("message") or "")[:300] if isinstance(status, dict) else ""
