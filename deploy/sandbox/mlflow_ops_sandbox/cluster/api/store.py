"""Where objects are: one table, one revision counter, one log of changes.

As in etcd, every write of any kind raises one counter, and an object's ``resourceVersion`` is the counter at its
last write. The log of changes feeds watches, and rebuilds lists as they were for paging; it is bounded, so a
version that fell out of it is "too old" (410). Persisted, in SQLite: the objects and the counter. Not persisted:
the log, so after a restart older versions are too old and clients list again, as after a compaction.

Trap: objects are handed out as they are stored. Whoever wants to change one goes through ``update``, which copies.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sqlite3
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow_ops_sandbox.cluster.api.identifiers import random_suffix
from mlflow_ops_sandbox.cluster.api.objects import Object, name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import already_exists, conflict, expired, not_found
from mlflow_ops_sandbox.cluster.api.times import Clock, system_clock, to_rfc3339

HISTORY = 10_000
"""How many changes are remembered."""

_TOO_OLD = "The resourceVersion for the provided list is too old."


@dataclass(frozen=True, slots=True)
class Change:
    """One write."""

    revision: int
    resource: str
    namespace: str
    name: str
    before: Object | None
    after: Object | None
    """None for a deletion."""
    last: Object
    """The object as watchers see it: for a deletion the last state, with the version of the deletion."""


class Store:
    """All objects of the cluster. Not thread-safe: it belongs to the event loop."""

    def __init__(self, path: Path | None = None, *, clock: Clock = system_clock, history: int = HISTORY) -> None:
        self._clock = clock
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._log: deque[Change] = deque()
        self._history = history
        self._changed = asyncio.Event()
        if path is not None:
            path.touch(mode=0o600)  # it holds Secrets
        self._database = sqlite3.connect(path or ":memory:", isolation_level=None)
        self.revision = self._load()
        self.compacted = self.revision

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    # Reading.

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return the object, or None."""
        return self._objects.get(resource.key, {}).get((namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return the object. Raises ApiError 404."""
        found = self.find(resource, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    def all(self, resource: Resource, namespace: str = "") -> list[Object]:
        """Return the objects of a kind, of one namespace or of all, in the order of their keys."""
        kept = self._objects.get(resource.key, {})
        return [kept[key] for key in sorted(kept) if not namespace or key[0] == namespace]

    def list_at(self, resource: Resource, namespace: str, revision: int) -> list[Object]:
        """Return the list as it was at a revision. Raises ApiError 410 where the log does not reach that far."""
        if revision < self.compacted:
            raise expired(_TOO_OLD)
        kept = dict(self._objects.get(resource.key, {}))
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            if change.resource != resource.key:
                continue
            if change.before is None:
                kept.pop((change.namespace, change.name), None)
            else:
                kept[change.namespace, change.name] = change.before
        return [kept[key] for key in sorted(kept) if not namespace or key[0] == namespace]

    def changes_after(self, revision: int) -> Iterator[Change]:
        """Yield what was written after a revision, oldest first. Raises ApiError 410 where that is too long ago."""
        if revision < self.compacted:
            message = f"too old resource version: {revision} ({self.compacted + 1})"
            raise expired(message)
        missed: list[Change] = []
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            missed.append(change)
        return iter(missed[::-1])

    def require_version(self, resource: Resource, namespace: str, name: str, version: str) -> None:
        """Raise ApiError 409 unless the object has this version. Nothing comes between this and a write after it."""
        if version and version != self.get(resource, namespace, name)["metadata"]["resourceVersion"]:
            raise conflict(resource, name)

    async def wait_beyond(self, revision: int) -> None:
        """Return once something was written after that revision."""
        while self.revision <= revision:
            await self._changed.wait()

    # Writing.

    def create(self, resource: Resource, item: Object) -> Object:
        """Add an object: gives it a name from generateName, uid, creation time and version. Raises ApiError 409."""
        made = copy.deepcopy(item)
        metadata = made["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + random_suffix()
        key = (namespace_of(made), name_of(made))
        if key in self._objects.get(resource.key, {}):
            raise already_exists(resource, key[1])
        metadata["uid"] = metadata.get("uid") or str(uuid.uuid4())
        metadata.setdefault("creationTimestamp", to_rfc3339(self._clock()))
        if resource.has_generation:
            metadata.setdefault("generation", 1)
        made.pop("kind", None)
        made.pop("apiVersion", None)
        return self._write(resource, key, None, made)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], None],
        *,
        intent: bool = True,
    ) -> Object:
        """Let ``change`` edit a copy and keep the result; nothing is written where nothing differs.

        A changed spec raises the generation, unless ``intent`` is false: binding a pod to its node is no new intent.
        Raises ApiError 404.
        """
        before = self.get(resource, namespace, name)
        after = copy.deepcopy(before)
        change(after)
        if after == before:
            return before
        if intent and resource.has_generation and _intent(after) != _intent(before):
            after["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        return self._write(resource, (namespace, name), before, after)

    def delete(self, resource: Resource, namespace: str, name: str) -> Object:
        """Remove an object at once and return its last state. Raises ApiError 404."""
        before = self.get(resource, namespace, name)
        self.revision += 1
        last = {**before, "metadata": {**before["metadata"], "resourceVersion": str(self.revision)}}
        del self._objects[resource.key][namespace, name]
        self._database.execute(
            "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", (resource.key, namespace, name)
        )
        self._remember(Change(self.revision, resource.key, namespace, name, before, None, last))
        return last

    def _write(self, resource: Resource, key: tuple[str, str], before: Object | None, after: Object) -> Object:
        self.revision += 1
        after["metadata"]["resourceVersion"] = str(self.revision)
        self._objects.setdefault(resource.key, {})[key] = after
        self._database.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (resource.key, *key, json.dumps(after))
        )
        self._remember(Change(self.revision, resource.key, *key, before, after, after))
        return after

    def _remember(self, change: Change) -> None:
        self._database.execute("UPDATE counter SET revision = ?", (change.revision,))
        self._log.append(change)
        while len(self._log) > self._history:
            self.compacted = self._log.popleft().revision
        self._changed.set()
        self._changed = asyncio.Event()

    def _load(self) -> int:
        self._database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE IF NOT EXISTS counter (revision INTEGER NOT NULL);"
            "CREATE TABLE IF NOT EXISTS objects"
            " (resource TEXT, namespace TEXT, name TEXT, body TEXT NOT NULL, PRIMARY KEY (resource, namespace, name));"
        )
        row = self._database.execute("SELECT revision FROM counter").fetchone()
        if row is None:
            self._database.execute("INSERT INTO counter VALUES (0)")
            return 0
        for resource, namespace, name, body in self._database.execute("SELECT * FROM objects"):
            self._objects.setdefault(resource, {})[namespace, name] = json.loads(body)
        return int(row[0])


def _intent(item: Object) -> Object:
    return {key: value for key, value in item.items() if key not in {"metadata", "status"}}
