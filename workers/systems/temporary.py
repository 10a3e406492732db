"""Temporary folders that outlive nobody: what a killed process has left on the disk, the next one removes.

A folder is its process's while that holds the lock on the file in it (flock), which ends with the process, however that
ends. Trap this avoids: a pid says nothing once the container was started anew, since the new one has the same ones; nor
where two containers share the disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "mlflow-ops-tmp-"
LOCK: Final = ".lock"
YOUNG_SECONDS: Final = 60.0
"""So long after it was made a folder without a lock may be one whose process is about to take it."""


@contextmanager
def folder(kind: str) -> Iterator[Path]:
    """An empty folder, which is removed afterwards; what dead processes have left is removed before."""
    sweep()
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))
    try:
        with taken(made):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def taken(where: Path) -> Iterator[None]:
    """Within, the folder is this process's."""
    # Not inherited by programs that are started meanwhile.
    lock = os.open(where / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def is_taken(where: Path) -> bool:
    """Whether a process lives whose folder it is."""
    try:
        lock = os.open(where / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def sweep(*, now: Callable[[], float] = time.time) -> int:
    """Remove the folders whose processes are gone; how many."""
    swept = 0
    for each in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if now() - each.stat().st_mtime < YOUNG_SECONDS or is_taken(each):
                continue
            shutil.rmtree(each, ignore_errors=True)
            swept += 1
    return swept
