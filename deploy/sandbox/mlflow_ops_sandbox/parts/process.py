"""One part as a process: how it is started, known again, and ended with everything that it started.

Each part leads a session of its own, so that Ctrl-C at the terminal reaches the supervisor alone. Ending a part
means its whole family: PostgreSQL's and RQ's children make process groups of their own, so a group signal would miss
them. A process is known by its pid and its start time together; a pid alone may meanwhile be somebody else's.

Trap: PR_SET_PDEATHSIG fires when the *thread* that forked ends, not the process. Parts are therefore started from
the main thread only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from mlflow_ops_sandbox.parts.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from mlflow_ops_sandbox.parts.accounts import Account
    from mlflow_ops_sandbox.parts.folder import Folder

# Every process of a sandbox carries its folder and its part under these names, and so do those that it starts.
MARK = "MLFLOW_OPS_SANDBOX"
PART_MARK = "MLFLOW_OPS_SANDBOX_PART"
LOG_LIMIT = 8_000_000
# A clock that is being corrected moves the start times that the kernel reports.
_START_TIME_TOLERANCE = 2.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


async def _at_once() -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the supervisor needs to know of one part."""

    name: str
    what: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]] = _at_once
    port: int | None = None
    after: tuple[str, ...] = ()
    # Runs in a thread before each start: folders, configuration files.
    prepare: Callable[[], None] | None = None
    # Runs once the process is ready: what belongs to being usable, such as roles in a database.
    settle: Callable[[], Awaitable[None]] | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 8.0
    deadline: float = 90.0

    @property
    def address(self) -> str:
        """Where it listens, for a person."""
        return f"{HOST}:{self.port}" if self.port else ""


@dataclass(slots=True)
class Running:
    """A started part."""

    part: Part
    popen: subprocess.Popen[bytes]
    started: float
    since: float = field(default_factory=time.monotonic)


def environment(folder: Folder, *, programs: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a part: what any program needs, and `extra`.

    No proxy variable is passed: every address is a loopback one, and some clients would not honour NO_PROXY.
    `programs` comes first in PATH: pg_dump refuses a server that is newer than itself.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ") or name.startswith(("PYTHON", "SANDBOX_"))
    }
    path = os.environ.get("PATH", os.defpath)
    return {
        "HOME": str(folder.path),
        **kept,
        "PATH": f"{programs}{os.pathsep}{path}",
        "PYTHONUNBUFFERED": "1",
        **extra,
    }


def start(part: Part, folder: Folder) -> Running:
    """Start a part, its output appended to its log. Call from the main thread."""
    log = folder.log(part.name)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    supervisor = os.getpid()

    def end_with_supervisor() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, part.stop_signal)
            if os.getppid() != supervisor:  # it ended before the call
                os._exit(1)

    account = part.account
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        popen = subprocess.Popen(
            part.command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            cwd=account.home if account else folder.path,
            env={**part.environ, MARK: str(folder.path), PART_MARK: part.name},
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            # The function only makes one system call; nothing it needs can be locked by another thread.
            preexec_fn=end_with_supervisor,  # noqa: PLW1509
        )
    finally:
        os.close(descriptor)
    folder.pid_file(part.name).write_text(f"{popen.pid}\n", encoding="utf-8")
    return Running(part, popen, _start_time(popen.pid))


def _start_time(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def find(pid: int, started: float) -> psutil.Process | None:
    """The living process with this pid and this start time, or None."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE
        if alive and abs(process.create_time() - started) <= _START_TIME_TOLERANCE:
            return process
    return None


def family(leader: psutil.Process) -> list[psutil.Process]:
    """The process and everything below it."""
    with suppress(psutil.NoSuchProcess):
        return [leader, *leader.children(recursive=True)]
    return []


def marked(folder: Folder, part: str | None = None) -> list[psutil.Process]:
    """Living processes that carry this folder's mark (and this part's), except the caller and its ancestors."""
    found: list[psutil.Process] = []
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            if process.pid in own:
                continue
            environ = process.environ()
            if environ.get(MARK) == str(folder.path) and part in (None, environ.get(PART_MARK)):
                found.append(process)
    return found


def end(processes: Iterable[psutil.Process], *, how: signal.Signals, patience: float) -> None:
    """End processes: asked first, killed once `patience` seconds are over. Blocks until none is left.

    psutil compares start times before it sends a signal, so a reused pid is never hit.
    """
    waiting = list(processes)
    for process in waiting:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(how)
            # A stopped process would not hear of it.
            process.send_signal(signal.SIGCONT)
    _, stubborn = psutil.wait_procs(waiting, timeout=patience)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)


def stop(running: Running, folder: Folder) -> None:
    """End a part and everything that it started. Blocks; safe to call from a thread.

    Also after it has ended by itself: a server whose parent was killed still holds the port.
    """
    part = running.part
    leader = find(running.popen.pid, running.started)
    relatives = family(leader) if leader is not None else []
    end(relatives[:1], how=part.stop_signal, patience=part.patience)
    running.popen.wait()
    end({*relatives[1:], *marked(folder, part.name)}, how=signal.SIGTERM, patience=2.0)
    folder.pid_file(part.name).unlink(missing_ok=True)
