"""What is asked of a sandbox from another terminal: its environment, its state, its end."""

from __future__ import annotations

import shlex
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts import composition, credentials, leftovers, process
from mlflow_ops_sandbox.parts.folder import MARKER, Folder, Lock, is_running, read_json

if TYPE_CHECKING:
    import psutil

_STOP_SECONDS = 90.0


def running() -> list[Path]:
    """The folders of all sandboxes that run in this account: whoever holds a folder's lock runs on it."""
    import psutil

    found = set()
    for each in psutil.process_iter():
        with suppress(psutil.Error):
            if any("sandbox" in word for word in each.cmdline()):
                locks = (Path(file.path) for file in each.open_files() if Path(file.path).name == "lock")
                found |= {lock.parent for lock in locks if (lock.parent / MARKER).exists()}
    return sorted(found)


def found(path: Path) -> Path:
    """The folder that was meant where none was named: `path` if something runs there or nothing runs at all, else the
    only one on which a sandbox runs. Raises SandboxError where there are several.
    """
    if Folder(path).marker.exists() and is_running(Folder(path)):
        return path
    known = running()
    if len(known) > 1:
        named = " or ".join(f"--data {shlex.quote(str(each))}" for each in known)
        msg = f"{len(known)} sandboxes run: say which one with {named}."
        raise SandboxError(msg)
    return known[0] if known else path


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
        msg = f"No sandbox runs on {path}.{_others()}"
        raise SandboxError(msg)
    lock = Lock(folder)
    if lock.acquire():
        try:
            count = leftovers.end(folder)
        finally:
            lock.release()
        left = f" What a killed one had left ({count} of its processes) was ended." if count else ""
        msg = f"No sandbox runs on {path}.{left}{_others()}"
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


def _others() -> str:
    return "".join(f" One runs on {each}: name it with --data." for each in running())


def _supervisor(state: dict[str, Any]) -> psutil.Process | None:
    """The living supervisor that wrote this; None where it is a killed one's, and the next has only just begun."""
    known = state.get("supervisor")
    return process.find(known["pid"], known["started"]) if known else None
