"""What a supervisor that was killed left behind: found again, and ended.

Two ways to know a process: the pid and start time in `sandbox.json` (a pid alone may be somebody else's by now), and
the folder's mark in its environment, which also finds what parts have started. Call only with the folder's lock held.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from mlflow_ops_sandbox.parts import process
from mlflow_ops_sandbox.parts.folder import read_json, write_json

if TYPE_CHECKING:
    from mlflow_ops_sandbox.parts.folder import Folder

_PATIENCE = 10.0


def end(folder: Folder) -> int:
    """End what is left and forget it; how many processes there were."""
    document = read_json(folder.state)
    found: set[psutil.Process] = set()
    gentle: list[psutil.Process] = []
    for name, known in document.get("parts", {}).items():
        leader = process.find(known["pid"], known["started"])
        if leader is not None:
            found.update(process.family(leader))
            if name == "postgres":
                gentle.append(leader)
        folder.pid_file(name).unlink(missing_ok=True)
    found.update(process.marked(folder))
    # SIGTERM would make PostgreSQL wait for its sessions; SIGINT ends them.
    for leader in gentle:
        with suppress(psutil.NoSuchProcess):
            leader.send_signal(signal.SIGINT)
    backends = {child for leader in gentle for child in process.family(leader)}
    process.end(found - backends, how=signal.SIGTERM, patience=_PATIENCE)
    process.end(backends, how=signal.SIGINT, patience=_PATIENCE)
    if document:
        document["parts"] = {}
        document["supervisor"] = None
        document["ready"] = False
        write_json(folder.state, document)
    return len(found)
