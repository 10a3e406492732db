"""What is asked of a sandbox from another terminal: its environment, its state, its end."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts import composition, credentials, leftovers, process
from mlflow_ops_sandbox.parts.folder import Folder, Lock, is_running, read_json

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

_STOP_SECONDS = 90.0


def environment(path: Path) -> dict[str, str]:
    """The environment of the sandbox that runs and is ready on `path`. Raises SandboxError where none is."""
    folder = Folder(path)
    if not folder.marker.exists() or not is_running(folder):
        msg = f"No sandbox runs on {path}: start it with 'mlflow-ops sandbox'."
        raise SandboxError(msg)
    state = read_json(folder.state)
    if not state.get("ready") or _supervisor(state) is None:
        msg = f"The sandbox on {path} is not ready yet: wait until it prints its address."
        raise SandboxError(msg)
    return composition.user_environment(folder, state["ports"], credentials.load(folder / "secrets.json"))


def stop(path: Path) -> str:
    """End the sandbox that runs on `path`, wait for that, and say so. Raises SandboxError where none runs."""
    folder = Folder(path)
    if not folder.marker.exists():
        msg = f"No sandbox runs on {path}."
        raise SandboxError(msg)
    lock = Lock(folder)
    if lock.acquire():
        try:
            count = leftovers.end(folder)
        finally:
            lock.release()
        left = f" What a killed one had left ({count} of its processes) was ended." if count else ""
        msg = f"No sandbox runs on {path}.{left}"
        raise SandboxError(msg)
    leader = _supervisor(read_json(folder.state))
    if leader is None:
        msg = f"The sandbox on {path} is starting or stopping at this moment: try again."
        raise SandboxError(msg)
    leader.send_signal(signal.SIGTERM)
    began = time.monotonic()
    while is_running(folder):
        if time.monotonic() - began > _STOP_SECONDS:
            msg = f"The sandbox on {path} (process {leader.pid}) has not ended within {_STOP_SECONDS:g} s."
            raise SandboxError(msg)
        time.sleep(0.1)
    return f"The sandbox on {path} was stopped in {time.monotonic() - began:.1f} s; its data is kept."


def status(path: Path) -> dict[str, Any]:
    """What runs on `path`: whether it is ready, the page, and each part's state, pid and port."""
    folder = Folder(path)
    if not folder.marker.exists() or not is_running(folder):
        msg = f"No sandbox runs on {path}."
        raise SandboxError(msg)
    state = read_json(folder.state)
    leader = _supervisor(state)
    return {
        "data": str(path),
        "ready": bool(state.get("ready")) and leader is not None,
        "supervisor": leader.pid if leader else None,
        "page": composition.page(state["ports"]) if "ports" in state else None,
        "parts": {
            name: {key: item[key] for key in ("state", "pid", "port", "what")} | {"log": str(folder.log(name))}
            for name, item in state.get("parts", {}).items()
        },
    }


def _supervisor(state: dict[str, Any]) -> psutil.Process | None:
    """The living supervisor that wrote this; None where it is a killed one's, and the next has only just begun."""
    known = state.get("supervisor")
    return process.find(known["pid"], known["started"]) if known else None
