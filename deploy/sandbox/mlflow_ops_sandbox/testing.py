"""A sandbox as tests drive it: started as a person starts it, its parts paused, killed and restarted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from mlflow_ops_sandbox import control
from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts import leftovers, postgres
from mlflow_ops_sandbox.parts.folder import Folder, read_json
from mlflow_ops_sandbox.patience import stretched

START_SECONDS = 180.0


@dataclass
class Sandbox:
    """A running sandbox."""

    path: Path
    supervisor: subprocess.Popen[bytes]
    output: Path
    env: dict[str, str]

    @property
    def slack_url(self) -> str:
        """The address of the Slack page, without a slash at its end."""
        return self.env["MLFLOW_OPS_SANDBOX_PAGE"].rstrip("/")

    @property
    def kubernetes_url(self) -> str:
        """The address of the cluster's control interface."""
        return self.env["MLFLOW_OPS_SANDBOX_KUBERNETES_CONTROL"]

    @property
    def process_env(self) -> dict[str, str]:
        """The environment for a program that is to use this sandbox: this process's own, without proxies."""
        own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return own | self.env

    def said(self) -> str:
        """What the supervisor has printed."""
        return self.output.read_text(encoding="utf-8")

    def log(self, part: str) -> str:
        """What a part has printed."""
        return Folder(self.path).log(part).read_text(encoding="utf-8", errors="replace")

    def state(self, part: str) -> str:
        """waiting, starting, ready, restarting or stopping."""
        return str(read_json(Folder(self.path).state)["parts"][part]["state"])

    def process(self, part: str) -> psutil.Process:
        """The part's process."""
        return psutil.Process(read_json(Folder(self.path).state)["parts"][part]["pid"])

    def family(self, part: str) -> list[psutil.Process]:
        """The part's process and all that it started."""
        leader = self.process(part)
        return [leader, *leader.children(recursive=True)]

    def pause(self, part: str) -> None:
        """Stop a part where it stands (SIGSTOP): its port is open, and nothing answers."""
        self._each(part, psutil.Process.suspend)

    def resume(self, part: str) -> None:
        """Let a paused part go on."""
        self._each(part, psutil.Process.resume)

    def kill(self, part: str) -> None:
        """Kill a part and all that it started; the supervisor will start it again."""
        self._each(part, psutil.Process.kill)

    def _each(self, part: str, do: Callable[[psutil.Process], None]) -> None:
        leader, *others = self.family(part)
        do(leader)
        for process in others:
            # They come and go, as PostgreSQL's sessions and its autovacuum do.
            with suppress(psutil.NoSuchProcess):
                do(process)

    def restart(self, part: str, *, seconds: float = 60.0) -> None:
        """Kill a part and wait until its successor is ready."""
        before = self.process(part)
        self.kill(part)
        self.wait_until_ready(part, other_than=before, seconds=seconds)

    def wait_until_ready(
        self, part: str, *, other_than: psutil.Process | None = None, seconds: float = 60.0
    ) -> psutil.Process:
        """The part's process once it is ready, and another one than that given."""

        def ready() -> bool:
            try:
                return self.process(part) != other_than and self.state(part) == "ready"
            except (psutil.NoSuchProcess, KeyError):
                return False

        wait_for(ready, f"{part} to be ready", seconds)
        return self.process(part)

    def kubernetes_control(self, order: dict[str, Any]) -> Any:
        """Tell the cluster to misbehave; its answer (see cluster/control.py for the orders)."""
        request = urllib.request.Request(  # noqa: S310 - our own control port
            f"{self.kubernetes_url}/faults", json.dumps(order).encode(), {"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def stop(self) -> str:
        """End it as Ctrl-C would; all that it has printed."""
        if self.supervisor.poll() is None:
            self.supervisor.terminate()
        self.supervisor.wait(timeout=60)
        return self.said()


class StartSandbox(Protocol):
    """How tests start a sandbox of their own."""

    def __call__(self, path: Path, *arguments: str, ready: bool = True, like: Path | None = None) -> Sandbox:
        """Start one on `path` (see `start`)."""


def wait_for(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Return once the condition holds; raise AssertionError after `seconds` of a machine at rest."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > stretched(seconds):
            msg = f"waited {seconds:g} s for {what}"
            raise AssertionError(msg)
        time.sleep(0.05)


def start(path: Path, *arguments: str, ready: bool = True, like: Path | None = None) -> Sandbox:
    """Start a sandbox on `path` with arguments of `mlflow-ops sandbox`; wait until it is ready if it will be.

    It begins with what another one holds, which is stopped, where that is given as `like`.
    """
    if like is not None:
        _copy(Folder(like), Folder(path))
    output = path.with_name(f"{path.name}.out")
    with output.open("wb") as stream:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "mlflow_ops_sandbox", "--data", str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    sandbox = Sandbox(path, supervisor, output, {})
    if not ready:
        return sandbox

    def answers() -> bool:
        if supervisor.poll() is not None:
            msg = f"the sandbox ended with {supervisor.returncode}:\n{sandbox.said()}"
            raise AssertionError(msg)
        try:
            sandbox.env.update(control.environment(path))
        except SandboxError:
            return False
        return True

    wait_for(answers, f"the sandbox in {path}", START_SECONDS)
    return sandbox


def seed(path: Path) -> Path:
    """Make a stopped sandbox for others to begin like: MLflow's schema and contents are most of a first start."""
    others = ("redis", "kubernetes", "slack", "bot", "scheduler", "worker-quick", "worker-ops")
    start(path, *(word for part in others for word in ("--without", part))).stop()
    return path


def _copy(source: Folder, target: Folder) -> None:
    """Copy what a stopped sandbox holds: secrets, data and the moment at which it was made; no port, no process."""
    target.create()
    for name in ("secrets.json", "objects", "mlflow", source.marker.name):
        # Owners and times too: when a sandbox was made is what its samples' times go by.
        subprocess.run(["cp", "-a", str(source / name), str(target.path)], check=True)
    postgres.copy(source, target)


def remove(sandbox: Sandbox) -> None:
    """Stop it, and remove all that it left."""
    if sandbox.supervisor.poll() is None:
        sandbox.supervisor.terminate()
        try:
            sandbox.supervisor.wait(timeout=60)
        except subprocess.TimeoutExpired:
            sandbox.supervisor.kill()
            sandbox.supervisor.wait()
    # What a killed one has left may still write.
    leftovers.end(Folder(sandbox.path))
    forget(sandbox.path)


def forget(path: Path) -> None:
    """Remove all that a stopped sandbox left."""
    postgres.forget(Folder(path))
    shutil.rmtree(path, ignore_errors=True)
