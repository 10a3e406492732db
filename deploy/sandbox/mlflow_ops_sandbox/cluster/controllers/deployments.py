"""The Deployment controller: a ReplicaSet for each pod template, and pods moved from the old ones to the new one.

A template that was in use before finds its old ReplicaSet again, which then gets a new revision: that is how a
rollback works. All steps are small and repeated: each looks at what there is now and does what is next.

Trap: what the status says of an older rollout outlives the patch that ends it. Until the controller has seen the patch
nothing changes at all; a sync that scales writes `observedGeneration` and figures and leaves ``Progressing`` alone; a
rollout back to an older ReplicaSet begins under the condition of the one that failed; and if the ReplicaSet itself is
refused, `observedGeneration` stays behind though the condition tells of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    condition_of,
    is_terminating,
    name_of,
    namespace_of,
    uid_of,
)
from mlflow_ops_sandbox.cluster.api.ownership import annotation_of, has_ended, owned_pods, replica_sets_of
from mlflow_ops_sandbox.cluster.api.proportions import is_rolling, surge_and_unavailable
from mlflow_ops_sandbox.cluster.api.resources import DEPLOYMENTS, REPLICA_SETS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.controllers.deployment_status import (
    PAUSED,
    PROGRESSING,
    TIMED_OUT,
    Words,
    calculated,
    is_complete,
    noted,
    rolled,
)
from mlflow_ops_sandbox.cluster.controllers.lag import Lag
from mlflow_ops_sandbox.cluster.controllers.pods import is_of_ending_namespace
from mlflow_ops_sandbox.cluster.controllers.retries import Retries
from mlflow_ops_sandbox.cluster.controllers.revisions import (
    DESIRED,
    MAX,
    Revisions,
    find_new_replica_set,
    name_of_template,
)

_COMPONENT = "deployment-controller"
_NO_SET = "ReplicaSetCreateError"


@dataclass(frozen=True, slots=True)
class DeploymentController:
    """Keeps the ReplicaSets of all Deployments."""

    store: Store
    events: Recorder
    clock: Clock
    admission: Admission
    lag: Lag
    retries: Retries

    def reconcile(self) -> None:
        """Take the next step of every Deployment that was seen, and write its status."""
        items = self.store.all(DEPLOYMENTS)
        for item in items:
            if self.lag.has_seen(item):
                self._sync(item)
        uids = {uid_of(item) for item in items}
        self.lag.end_round(uids)
        self.retries.end_round(uids)

    def _sync(self, item: Object) -> None:
        sets = replica_sets_of(self.store, item)
        newest = find_new_replica_set(item, sets)
        if is_terminating(item):
            self._write_status(item, estimated=False)
            return
        item = self._note_pause(item)
        old = [entry for entry in sets if entry is not newest]
        if item["spec"].get("paused") or _was_resized(item, sets):
            if newest is not None:
                item, newest = self._revise(item, newest, sets)
            self._spread(item, newest, old)
            self._write_status(item, estimated=False)
            return
        if is_rolling(item) or not self._old_pods_remain(item, newest, sets):
            if newest is None and not self.retries.may_try(item, sets):
                return
            try:
                item, newest = self._revise(item, newest, sets)
            except ApiError as refusal:
                self._tell_refused(item, sets, refusal)
                return
            self.retries.succeeded(item)
            old = [entry for entry in replica_sets_of(self.store, item) if name_of(entry) != name_of(newest)]
            if is_rolling(item):
                self._roll(item, newest, old)
            else:
                self._scale(item, newest, int(item["spec"]["replicas"]))
            self._forget_old(item, old)
        self._write_status(item, estimated=True)

    def _note_pause(self, item: Object) -> Object:
        """Tell that the Deployment was paused or resumed; a rollout that is past its deadline stays that."""
        reason = (condition_of(item, PROGRESSING) or {}).get("reason")
        paused = bool(item["spec"].get("paused"))
        if item["spec"].get("progressDeadlineSeconds") is None or reason == TIMED_OUT or paused == (reason == PAUSED):
            return item
        if paused:
            return self._note(item, ("Unknown", PAUSED, "Deployment is paused"))
        return self._note(item, ("Unknown", "DeploymentResumed", "Deployment is resumed"))

    def _revise(self, item: Object, newest: Object | None, sets: list[Object]) -> tuple[Object, Object]:
        """Find or make the ReplicaSet of the template, number both, and tell of one that is new."""
        was_missing = newest is None
        item, made = Revisions(self.store, self.admission).ensure(item, newest, sets)
        if item["spec"].get("progressDeadlineSeconds") is not None:
            if was_missing:
                item = self._note(item, ("True", "NewReplicaSetCreated", f'Created new replica set "{name_of(made)}"'))
            elif condition_of(item, PROGRESSING) is None:
                item = self._note(item, ("True", "FoundNewReplicaSet", f'Found new replica set "{name_of(made)}"'))
        if was_missing and _replicas(made):
            self._tell_scaled(item, made, 0, _replicas(made))
        return item, made

    def _tell_refused(self, item: Object, sets: list[Object], refusal: ApiError) -> None:
        """Tell that the new ReplicaSet cannot be made; nothing else of the status is written."""
        if not is_of_ending_namespace(refusal):
            message = f'Failed to create new replica set "{name_of_template(item)}": {refusal.message}'
            if item["spec"].get("progressDeadlineSeconds") is not None:
                item = self._note(item, ("False", _NO_SET, message))
            self.events.controller(item, DEPLOYMENTS, _COMPONENT, Happening(_NO_SET, message, warning=True))
        self.retries.failed(item, sets)

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
            only = live[0] if live else newest or next(iter(old[::-1]), None)
            if only is not None:
                self._scale(item, only, wanted)
            return
        if not _was_resized(item, live):
            return
        surge, _ = surge_and_unavailable(item)
        allowed = wanted + surge if wanted else 0
        total = sum(map(_replicas, live))
        left = allowed - total
        # The largest first, which takes what is left over; of the same size the newer first, on the way down the older.
        ordered = sorted(live if left > 0 else live[::-1], key=_replicas, reverse=True)
        sizes = dict.fromkeys(map(name_of, ordered), 0)
        for entry in ordered:
            highest = int(annotation_of(entry, MAX) or total) or 1
            share = math.floor(_replicas(entry) * allowed / highest + 0.5) - _replicas(entry) if left else 0
            share = min(share, left) if allowed > total else max(share, left)
            left -= share
            sizes[name_of(entry)] = _replicas(entry) + share
        sizes[name_of(ordered[0])] = max(sizes[name_of(ordered[0])] + left, 0)
        for entry in ordered:
            self._scale(item, entry, sizes[name_of(entry)])

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

    def _note(self, item: Object, words: Words) -> Object:
        status = noted(item, words, self.clock())
        return self.store.update(
            DEPLOYMENTS, namespace_of(item), name_of(item), lambda copy: copy.update(status=status)
        )

    def _write_status(self, item: Object, *, estimated: bool) -> None:
        sets = replica_sets_of(self.store, item)
        counted = rolled if estimated else calculated
        status = counted(item, sets, find_new_replica_set(item, sets), self.clock())
        self._keep(item, status)

    def _keep(self, item: Object, status: Object) -> Object:
        return self.store.update(
            DEPLOYMENTS, namespace_of(item), name_of(item), lambda kept: kept.update(status=status)
        )


def _replicas(entry: Object) -> int:
    return int(entry["spec"].get("replicas", 0))


def _available(entry: Object) -> int:
    return int((entry.get("status") or {}).get("availableReplicas", 0))


def _was_resized(item: Object, sets: list[Object]) -> bool:
    """Say whether the Deployment's size has changed since its ReplicaSets were scaled."""
    live = [entry for entry in sets if _replicas(entry)]
    return any(annotation_of(entry, DESIRED) not in {"", str(item["spec"]["replicas"])} for entry in live)
