"""The sandbox's processes, by the pids in its state file: paused, restarted and killed.

Nothing here starts one: the supervisor starts again whatever ends. A pid alone may meanwhile be somebody else's;
`process.find` compares the start time too.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psutil

from mlflow_ops_sandbox.parts import process
from mlflow_ops_sandbox.parts.folder import Folder, read_json
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.panel.thing import State, Thing

if TYPE_CHECKING:
    from pathlib import Path

_LABELS: Final = {
    "postgres": "PostgreSQL",
    "objects": "Object store (S3)",
    "mlflow": "MLflow server",
    "redis": "Redis",
    "kubernetes": "Cluster",
    "bot": "Bot",
    "scheduler": "Scheduler",
    "worker-quick": "Worker, quick",
    "worker-ops": "Worker, ops",
}
"""Which may be signalled, and what they are called. Slack itself may not: the page would go with it."""
_PAUSE, _RESUME = ("pause", "Pause"), ("resume", "Resume")
_ENDS = (("restart", "Restart"), ("kill", "Kill"))
# PostgreSQL waits for its clients after SIGTERM; SIGINT is its way to end at once and in good order.
_END_SIGNALS: Final = {"postgres": signal.SIGINT}


class Processes:
    """The parts that the supervisor runs."""

    id = "processes"
    title = "Processes"

    def __init__(self, folder: Path) -> None:
        """Look into the state file of the sandbox in `folder`."""
        self._folder = Folder(folder)

    async def things(self) -> list[Thing]:
        """Return the parts with what they do now."""
        return await asyncio.to_thread(self._look)

    async def order(self, thing: str, action: str) -> None:
        """Pause, resume, restart or kill a part with everything that it started."""
        await asyncio.to_thread(self._signal, thing, action)

    async def heal(self) -> None:
        """Let every paused part go on; the supervisor sees to the rest."""
        await asyncio.to_thread(self._resume_all)

    def _parts(self) -> dict[str, Json]:
        known = read_json(self._folder.state).get("parts", {})
        return {name: known[name] for name in _LABELS if name in known}

    def _look(self) -> list[Thing]:
        return [self._thing(name, part) for name, part in self._parts().items()]

    def _thing(self, name: str, part: Json) -> Thing:
        leader = process.find(part["pid"], part["started"])
        paused = leader is not None and _is_paused(leader)
        ready = leader is not None and part["state"] == "ready"
        detail = "paused" if paused else "running" if ready else "restarting" if leader is None else part["state"]
        state: State = "well" if ready and not paused else "broken"
        return Thing(name, _LABELS[name], part["what"], state, detail, (_RESUME if paused else _PAUSE, *_ENDS))

    def _signal(self, name: str, action: str) -> None:
        part = self._parts().get(name)
        if part is None:
            raise InvalidArgumentsError(f"thing: there is no {name}")
        if action not in ("pause", "resume", "restart", "kill"):
            raise InvalidArgumentsError("action: pause, resume, restart or kill")
        leader = process.find(part["pid"], part["started"])
        if leader is None:
            raise SlackError("process_not_running")
        family = process.family(leader)
        with suppress(psutil.NoSuchProcess):
            if action == "restart":
                leader.send_signal(_END_SIGNALS.get(name, signal.SIGTERM))
        for member in family:
            with suppress(psutil.NoSuchProcess):
                if action == "pause":
                    member.suspend()
                elif action == "kill":
                    member.kill()
                else:
                    member.resume()

    def _resume_all(self) -> None:
        for part in self._parts().values():
            leader = process.find(part["pid"], part["started"])
            for member in process.family(leader) if leader else []:
                with suppress(psutil.NoSuchProcess):
                    if _is_paused(member):
                        member.resume()


def _is_paused(running: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(running.status() == psutil.STATUS_STOPPED)
    return False
