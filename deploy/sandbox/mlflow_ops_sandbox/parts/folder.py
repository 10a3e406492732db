"""The data folder: where it is, whose it is, and what is remembered in it.

Layout: `sandbox.json` (ports, processes, readiness), `secrets.json`, `ops.yaml`, `logs/`, `run/` (pid and readiness
files) and one folder per part. A marker file says that the folder is a sandbox's; nothing without it is ever deleted.
A lock held for the supervisor's lifetime says that it runs: the kernel drops it however the supervisor ends, so a
stale pid can never be taken for a running sandbox.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ops_sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKER = ".mlflow-ops-sandbox"
_MARKER_TEXT = "This folder belongs to an mlflow-ops sandbox; `mlflow-ops sandbox --fresh` deletes it.\n"
# What an empty folder may hold: what the system puts there, and what an interrupted deletion leaves.
_NOTHING = {"lost+found", "lock"}


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that is used where none is named: $XDG_DATA_HOME or ~/.local/share, then mlflow-ops/sandbox."""
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "mlflow-ops" / "sandbox"


@dataclass(frozen=True, slots=True)
class Folder:
    """The data folder and the paths in it."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        """A path inside the folder."""
        return self.path / name

    @property
    def marker(self) -> Path:
        """The file that makes a folder a sandbox's."""
        return self.path / MARKER

    @property
    def state(self) -> Path:
        """What is remembered: ports, processes, readiness."""
        return self.path / "sandbox.json"

    @property
    def made_at(self) -> datetime:
        """When the sandbox was made."""
        return datetime.fromtimestamp(self.marker.stat().st_mtime, UTC)

    def log(self, part: str) -> Path:
        """Where a part's output goes."""
        return self.path / "logs" / f"{part}.log"

    def pid_file(self, part: str) -> Path:
        """Where a part's process id stands while it runs."""
        return self.path / "run" / f"{part}.pid"

    def ready_file(self, part: str) -> Path:
        """What a part writes once it can serve, where it says so by a file."""
        return self.path / "run" / f"{part}.ready"

    def create(self) -> None:
        """Make the folder, or recognise it. Raises SandboxError where it holds something else."""
        path = self.path
        if path.exists() and not path.is_dir():
            msg = f"{path} is a file, not a folder: name another one with --data."
            raise SandboxError(msg)
        if not self.marker.exists() and path.exists() and {item.name for item in path.iterdir()} - _NOTHING:
            msg = f"{path} holds something else than a sandbox: name an empty or new folder with --data."
            raise SandboxError(msg)
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.marker.exists():
                self.marker.write_text(_MARKER_TEXT, encoding="utf-8")
            for name in ("logs", "run"):
                (path / name).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            msg = f"{path} cannot be used ({error.strerror}): name another folder with --data."
            raise SandboxError(msg) from None
        # PostgreSQL runs as another account where root starts it: that one must get to its own folder in here.
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def delete(self) -> None:
        """Delete the folder. Raises SandboxError where it is not a sandbox's (no marker file)."""
        if not self.path.exists():
            return
        if not self.marker.is_file():
            msg = f"{self.path} is not a sandbox's folder (it has no {MARKER}); it was not deleted."
            raise SandboxError(msg)
        # The marker goes last: a deletion that was interrupted can be taken up again. The lock file stays,
        # because the lock is held on it.
        for item in sorted(self.path.iterdir()):
            if item.name in (MARKER, "lock"):
                continue
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()
        self.marker.unlink()


class Lock:
    """The lock that a running supervisor holds on its folder."""

    def __init__(self, folder: Folder) -> None:
        """Name the lock file; nothing is taken yet."""
        self._path = folder / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False where another supervisor holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_running(folder: Folder) -> bool:
    """Whether a supervisor runs on this folder."""
    if not (folder / "lock").exists():
        return False
    lock = Lock(folder)
    if lock.acquire():
        lock.release()
        return False
    return True


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none or it was cut short."""
    with suppress(FileNotFoundError, ValueError):
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict):
            return document
    return {}


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(path)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON object that only its owner may read, whole or not at all."""
    write_private(path, json.dumps(document, indent=2, sort_keys=True) + "\n")
