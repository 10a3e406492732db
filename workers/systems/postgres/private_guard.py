"""Started as a program of its own, beside a worker: it owns a folder and a private PostgreSQL in it, and outlives
nobody.

    python private_guard.py FOLDER

It is told a line of JSON, {"command": […], "account": [uid, gid] or null}, and starts that server; where its input
ends, because the worker is done or was killed, it stops the server and removes the folder. It is in a session of its
own, so that killing the worker's group does not kill it as well. Only the standard library: it must start at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

LOCK: Final = ".lock"
"""Locked as long as the guard lives, whatever its pid is to others."""
ENDED: Final = "ended"
"""Written where the server has ended by itself: its exit code."""
STOP_SECONDS: Final = 20


def main(folder: Path) -> None:
    """Guard that folder until the input ends."""
    # Whoever finds it finds it locked.
    lock = (folder / f"{LOCK}.new").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / f"{LOCK}.new").rename(folder / LOCK)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    server: subprocess.Popen[bytes] | None = None
    try:
        told = sys.stdin.readline()
        if told:
            server = _started(folder, json.loads(told))
        while os.read(sys.stdin.fileno(), 1):
            pass
    finally:
        if server:
            _stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path, told: dict[str, Any]) -> subprocess.Popen[bytes]:
    account = told["account"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            told["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            user=account[0] if account else None,
            group=account[1] if account else None,
            extra_groups=[] if account else None,
        )


def _stop(server: subprocess.Popen[bytes]) -> None:
    # Nothing of it is kept: its pages need not be written.
    server.send_signal(signal.SIGQUIT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
