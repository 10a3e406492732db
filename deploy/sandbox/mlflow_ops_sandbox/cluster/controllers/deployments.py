"""The Deployment controller: a ReplicaSet for each pod template, and pods moved from the old ones to the new one.

A template that was in use before finds its old ReplicaSet again, which then gets a new revision: that is how a
rollback works. All steps are small and repeated: each looks at what there is now and does what is next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.objects import Object, is_terminating, name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.ownership import annotation_of, has_ended, owned_pods, replica_sets_of
from mlflow_ops_sandbox.cluster.api.proportions import is_rolling, surge_and_unavailable
from mlflow_ops_sandbox.cluster.api.resources import DEPLOYMENTS, REPLICA_SETS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.controllers.deployment_status import deployment_status, is_complete, progress
from mlflow_ops_sandbox.cluster.controllers.revisions import DESIRED, MAX, Revisions, find_new_replica_set

_COMPONENT = "deployment-controller"


@dataclass(frozen=True, slots=True)
class DeploymentController:
    """Keeps the ReplicaSets of all Deployments."""

    store: Store
    events: Recorder
    clock: Clock

    def reconcile(self) -> None:
        """Take the next step of every Deployment, then write its status."""
        for found in self.store.all(DEPLOYMENTS):
            item = found
            if not is_terminating(item):
                item = self._step(item)
            self._write_status(item)

    def _step(self, item: Object) -> Object:
        sets = replica_sets_of(self.store, item)
        newest = find_new_replica_set(item, sets)
        if item["spec"].get("paused"):
            self._spread(item, newest, [entry for entry in sets if entry is not newest])
            return item
        recreated = not is_rolling(item)
        if recreated and self._old_pods_remain(item, newest, sets):
            return item
        was_missing = newest is None
        item, newest = Revisions(self.store).ensure(item, newest, sets)
        if was_missing and _replicas(newest):
            self._tell_scaled(item, newest, 0, _replicas(newest))
        old = [entry for entry in replica_sets_of(self.store, item) if name_of(entry) != name_of(newest)]
        if recreated:
            self._scale(item, newest, int(item["spec"]["replicas"]))
        elif _was_resized(item, [*old, newest]) and sum(bool(_replicas(entry)) for entry in [*old, newest]) > 1:
            self._spread(item, newest, old)
        else:
            self._roll(item, newest, old)
        self._forget_old(item, old)
        return item

    def _old_pods_remain(self, item: Object, newest: Object | None, sets: list[Object]) -> bool:
        """Take down what is old; say whether any of its pods is still there."""
        old = [entry for entry in sets if entry is not newest]
        for entry in old:
            self._scale(item, entry, 0)
        return any(not has_ended(pod) for entry in old for pod in owned_pods(self.store, entry))

    def _roll(self, item: Object, newest: Object, old: list[Object]) -> None:
        """Take the next step of a rolling update: up first, down otherwise."""
        wanted = int(item["spec"]["replicas"])
        surge, unavailable = surge_and_unavailable(item)
        total = _replicas(newest) + sum(map(_replicas, old))
        if _replicas(newest) > wanted:
            newest = self._scale(item, newest, wanted)
        elif _replicas(newest) < wanted and total < wanted + surge:
            newest = self._scale(
                item, newest, _replicas(newest) + min(wanted + surge - total, wanted - _replicas(newest))
            )
        else:
            newest = self._scale(item, newest, _replicas(newest))
        live = [entry for entry in old if _replicas(entry)]
        least = wanted - unavailable
        lagging = _replicas(newest) - _available(newest)
        spare = _replicas(newest) + sum(map(_replicas, live)) - least - lagging
        # First those that do not serve anyway.
        shrunk: list[Object] = []
        for entry in live:
            broken = min(_replicas(entry) - _available(entry), max(spare, 0))
            spare -= broken
            shrunk.append(self._scale(item, entry, _replicas(entry) - broken) if broken > 0 else entry)
        serving = _available(newest) + sum(min(_available(entry), _replicas(entry)) for entry in shrunk)
        spare = serving - least
        for entry in shrunk:
            less = min(_replicas(entry), max(spare, 0))
            spare -= less
            if less:
                self._scale(item, entry, _replicas(entry) - less)

    def _spread(self, item: Object, newest: Object | None, old: list[Object]) -> None:
        """Scale a Deployment in the middle of a rollout: each ReplicaSet gets its share."""
        sets = ([newest] if newest is not None else []) + old[::-1]
        live = [entry for entry in sets if _replicas(entry)]
        wanted = int(item["spec"]["replicas"])
        if len(live) <= 1:
            only = live[0] if live else newest
            if only is not None:
                self._scale(item, only, wanted)
            return
        if not _was_resized(item, live):
            return
        surge, _ = surge_and_unavailable(item)
        allowed = wanted + surge if wanted else 0
        total = sum(map(_replicas, live))
        left = allowed - total
        for entry in sorted(live, key=_replicas, reverse=True):
            highest = int(annotation_of(entry, MAX) or total) or 1
            share = round(_replicas(entry) * allowed / highest) - _replicas(entry)
            share = min(max(share, 0), left) if left > 0 else max(min(share, 0), left)
            left -= share
            size = _replicas(entry) + share
            self._scale(item, entry, max(size + (left if entry is live[-1] else 0), 0))

    def _scale(self, item: Object, entry: Object, replicas: int) -> Object:
        """Write the size of a ReplicaSet and tell of it; the annotations are kept in step in any case."""
        surge, _ = surge_and_unavailable(item)
        wanted = int(item["spec"]["replicas"])
        before = _replicas(entry)

        def resize(copy: Object) -> None:
            copy["spec"]["replicas"] = replicas
            sizes = {DESIRED: str(wanted), MAX: str(wanted + surge)}
            copy["metadata"]["annotations"] = {**(copy["metadata"].get("annotations") or {}), **sizes}

        made = self.store.update(REPLICA_SETS, namespace_of(entry), name_of(entry), resize)
        if replicas != before:
            self._tell_scaled(item, made, before, replicas)
        return made

    def _tell_scaled(self, item: Object, entry: Object, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {name_of(entry)} from {before} to {after}"
        self.events.controller(item, DEPLOYMENTS, _COMPONENT, Happening("ScalingReplicaSet", message))

    def _forget_old(self, item: Object, old: Iterable[Object]) -> None:
        """Remove the oldest ReplicaSets beyond the history's limit, once the rollout is complete."""
        if not is_complete(item):
            return
        idle = [entry for entry in old if not _replicas(entry) and not (entry.get("status") or {}).get("replicas")]
        surplus = len(idle) - int(item["spec"].get("revisionHistoryLimit", 10))
        for entry in idle[: max(surplus, 0)]:
            self.store.delete(REPLICA_SETS, namespace_of(entry), name_of(entry))

    def _write_status(self, item: Object) -> None:
        sets = replica_sets_of(self.store, item)
        newest = find_new_replica_set(item, sets)
        now = self.clock()
        status = deployment_status(item, sets, newest)
        status["conditions"] = progress(item, status, newest, sets, now)
        self.store.update(DEPLOYMENTS, namespace_of(item), name_of(item), lambda copy: copy.update(status=status))


def _replicas(entry: Object) -> int:
    return int(entry["spec"].get("replicas", 0))


def _available(entry: Object) -> int:
    return int((entry.get("status") or {}).get("availableReplicas", 0))


def _was_resized(item: Object, sets: list[Object]) -> bool:
    """Say whether the Deployment's size has changed since its ReplicaSets were scaled."""
    live = [entry for entry in sets if _replicas(entry)]
    return any(annotation_of(entry, DESIRED) not in {"", str(item["spec"]["replicas"])} for entry in live)
