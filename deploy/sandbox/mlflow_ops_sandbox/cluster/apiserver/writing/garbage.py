"""The garbage collector: what becomes of owned objects when their owner goes, of namespaces, and of finalizers.

Background: the object goes at once, what it owned after it. Foreground: it stays, marked, until what it owned and
blocks its end is gone. Orphan: what it owned loses its owner reference. Pods are ended by their node; only those that
no node cares for are removed here, some time after their grace period.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from mlflow_ops_sandbox.cluster.api.objects import Object, is_terminating, name_of, namespace_of, uid_of
from mlflow_ops_sandbox.cluster.api.resources import NAMESPACES, PODS, STORED, Resource
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, from_rfc3339
from mlflow_ops_sandbox.cluster.apiserver.writing.deleting import FOREGROUND, ORPHAN, DeleteOptions, Deleter

_ENDING = frozenset({FOREGROUND, ORPHAN})
_LOOK_SECONDS = 1.0
_FORGOTTEN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Collector:
    """Collects, on demand and for ever."""

    store: Store
    clock: Clock
    deleter: Deleter

    async def run(self) -> None:
        """Collect whenever something was written, and every second for pods that nobody ends."""
        while True:
            self.collect()
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self.store.wait_beyond(self.store.revision)
            except TimeoutError:
                continue

    def collect(self) -> None:
        """Go round until nothing is left to do."""
        revision = -1
        while revision != self.store.revision:
            revision = self.store.revision
            self._follow_owners()
            for resource, item in list(self._everything()):
                if is_terminating(item):
                    self._end(resource, item)

    def _everything(self) -> Iterator[tuple[Resource, Object]]:
        for resource in STORED:
            for item in self.store.all(resource):
                yield resource, item

    def _follow_owners(self) -> None:
        owned = [(resource, item) for resource, item in self._everything() if item["metadata"].get("ownerReferences")]
        if not owned:
            return
        waiting: dict[str, frozenset[str]] = {}
        for _, item in self._everything():
            finalizers = (item["metadata"].get("finalizers") or ()) if is_terminating(item) else ()
            waiting[uid_of(item)] = frozenset(finalizers) & _ENDING
        for resource, item in owned:
            uids = [str(owner.get("uid")) for owner in item["metadata"]["ownerReferences"]]
            orphaned = {uid for uid in uids if ORPHAN in waiting.get(uid, ())}
            if orphaned:
                self._disown(resource, item, orphaned)
            elif not is_terminating(item) and not any(uid in waiting and not waiting[uid] for uid in uids):
                foreground = any(uid in waiting for uid in uids)
                options = DeleteOptions(policy="Foreground" if foreground else "Background")
                self.deleter.remove(resource, item, options)

    def _end(self, resource: Resource, item: Object) -> None:
        finalizers = item["metadata"].get("finalizers") or []
        if resource == NAMESPACES:
            self._empty(item)
        elif not finalizers:
            if resource != PODS or self.clock() > from_rfc3339(item["metadata"]["deletionTimestamp"]) + _FORGOTTEN:
                self.store.delete(resource, namespace_of(item), name_of(item))
        elif ORPHAN in finalizers or (FOREGROUND in finalizers and not self._is_blocked(uid_of(item))):
            self._release(resource, item)

    def _release(self, resource: Resource, item: Object) -> None:
        def change(kept: Object) -> None:
            left = [name for name in kept["metadata"].pop("finalizers") if name not in _ENDING]
            if left:
                kept["metadata"]["finalizers"] = left

        self.store.update(resource, namespace_of(item), name_of(item), change, intent=False)

    def _is_blocked(self, uid: str) -> bool:
        return any(
            owner.get("uid") == uid and owner.get("blockOwnerDeletion")
            for _, item in self._everything()
            for owner in item["metadata"].get("ownerReferences") or ()
        )

    def _disown(self, resource: Resource, item: Object, uids: set[str]) -> None:
        def change(kept: Object) -> None:
            left = [owner for owner in kept["metadata"].pop("ownerReferences") if owner.get("uid") not in uids]
            if left:
                kept["metadata"]["ownerReferences"] = left

        self.store.update(resource, namespace_of(item), name_of(item), change, intent=False)

    def _empty(self, namespace: Object) -> None:
        """Delete all that is in a namespace, and then the namespace."""
        name = name_of(namespace)
        inside = [(kind, item) for kind in STORED if kind.namespaced for item in self.store.all(kind, name)]
        for resource, item in inside:
            if not is_terminating(item):
                self.deleter.remove(resource, item, DeleteOptions(policy="Background"))
        if not inside:
            self.store.delete(NAMESPACES, "", name)
