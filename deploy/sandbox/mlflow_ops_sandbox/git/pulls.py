"""Pull requests, kept in one JSON file: opened, merged or closed, each once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from mlflow_ops_sandbox.git.store import Conflict, Missing, Store


@dataclass(frozen=True)
class Pull:
    """One of them. Times are as GitHub writes them; merged_at and commit are None unless it was merged."""

    number: int
    title: str
    body: str
    head: str
    base: str
    head_sha: str
    base_sha: str
    created_at: str
    state: str = "open"
    closed_at: str | None = None
    merged_at: str | None = None
    commit: str | None = None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Pulls:
    """All of a repository. changed: called after each change."""

    path: Path
    store: Store
    changed: Callable[[], None] = lambda: None
    _known: dict[int, Pull] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Read what was kept."""
        if self.path.exists():
            found = (Pull(**each) for each in json.loads(self.path.read_text(encoding="utf-8")))
            self._known = {each.number: each for each in found}

    def every(self) -> list[Pull]:
        """All of them, newest first."""
        return sorted(self._known.values(), key=lambda each: -each.number)

    def get(self, number: int) -> Pull:
        """One of them. Raises Missing."""
        found = self._known.get(number)
        if found is None:
            raise Missing(str(number))
        return found

    def open(self, title: str, body: str, head: str, base: str) -> Pull:
        """Ask for a merge. Raises Conflict where one is open from there to there."""
        with self._lock:
            if any(each.state == "open" and (each.head, each.base) == (head, base) for each in self._known.values()):
                raise Conflict(head)
            shas = (self.store.head(head), self.store.head(base))
            made = Pull(len(self._known) + 1, title, body, head, base, *shas, created_at=_now())
            return self._keep(made)

    def merge(self, number: int) -> Pull:
        """Merge it. Raises Conflict where it is not open, or cannot be merged."""
        with self._lock:
            pull = self._open(number)
            message = f"Merge pull request #{number} from {pull.head}\n\n{pull.title}"
            commit = self.store.merge(pull.base, pull.head, message)
            now = _now()
            return self._keep(replace(pull, state="closed", closed_at=now, merged_at=now, commit=commit))

    def close(self, number: int) -> Pull:
        """Close it without merging. Raises Conflict where it is not open."""
        with self._lock:
            return self._keep(replace(self._open(number), state="closed", closed_at=_now()))

    def _open(self, number: int) -> Pull:
        pull = self.get(number)
        if pull.state != "open":
            raise Conflict(pull.head)
        return pull

    def _keep(self, pull: Pull) -> Pull:
        self._known[pull.number] = pull
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps([asdict(each) for each in self._known.values()], indent=2), encoding="utf-8")
        new.replace(self.path)
        self.changed()
        return pull
