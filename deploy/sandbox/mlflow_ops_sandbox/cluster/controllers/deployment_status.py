"""The status of a Deployment: figures from its ReplicaSets, conditions from the figures and from time.

A condition is written when its status or its reason changes, and then stands last; with both the same it stays, words
and times included. ``Progressing`` alone is renewed by every bit of progress, and turns false once none has been seen
for progressDeadlineSeconds. It speaks of a rollout, so a sync that only scales leaves it as it is, whatever it says.
Source: pkg/controller/deployment/progress.go, sync.go and util/deployment_util.go of Kubernetes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from mlflow_ops_sandbox.cluster.api.objects import Object, condition_of, name_of
from mlflow_ops_sandbox.cluster.api.proportions import surge_and_unavailable
from mlflow_ops_sandbox.cluster.api.times import from_rfc3339, to_rfc3339
from mlflow_ops_sandbox.cluster.controllers.replicasets import FAILURE

PROGRESSING = "Progressing"
TIMED_OUT, PAUSED = "ProgressDeadlineExceeded", "DeploymentPaused"
_DONE = "NewReplicaSetAvailable"
_FIGURES = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
Words = tuple[str, str, str]
"""The status of a condition, its reason, its message."""


def calculated(item: Object, sets: list[Object], newest: Object | None, now: datetime) -> Object:
    """Return the status after a sync that estimates no progress: only ``Available`` is decided anew."""
    replicas, ready, available, terminating = (
        sum(_figure(entry, key) for entry in sets)
        for key in ("replicas", "readyReplicas", "availableReplicas", "terminatingReplicas")
    )
    wanted = sum(int(entry["spec"].get("replicas", 0)) for entry in sets)
    updated = _figure(newest, "replicas") if newest else 0
    figures = (replicas, updated, ready, available, max(wanted - available, 0))
    return {
        "observedGeneration": item["metadata"]["generation"],
        **{key: figure for key, figure in zip(_FIGURES, figures, strict=True) if figure},
        "terminatingReplicas": terminating,
        "conditions": _with(_conditions(item), "Available", _availability(item, available), now),
    }


def rolled(item: Object, sets: list[Object], newest: Object | None, now: datetime) -> Object:
    """Return the status after a sync of a rollout: with its progress, and with what a ReplicaSet was refused."""
    status = calculated(item, sets, newest, now)
    conditions: list[Object] = status["conditions"]
    if item["spec"].get("progressDeadlineSeconds") is None:
        conditions = [entry for entry in conditions if entry["type"] != PROGRESSING]
    else:
        conditions = _with_progress(item, status, conditions, newest, now)
    ordered = ([newest] if newest is not None else []) + [entry for entry in sets if entry is not newest]
    failure = next((found for entry in ordered if (found := condition_of(entry, FAILURE))), None)
    if failure is None:
        conditions = [entry for entry in conditions if entry["type"] != FAILURE]
    else:
        since = from_rfc3339(failure["lastTransitionTime"])
        words = (failure["status"], failure["reason"], failure["message"])
        conditions = _with(conditions, FAILURE, words, since)
    return {**status, "conditions": conditions}


def noted(item: Object, words: Words, now: datetime) -> Object:
    """Return the status as it was, but for what ``Progressing`` says now; it is written before figures are counted."""
    return {**(item.get("status") or {}), "conditions": _with(_conditions(item), PROGRESSING, words, now)}


def is_complete(item: Object, status: Object | None = None) -> bool:
    """Say whether all pods are of the newest template and available."""
    status = (item.get("status") or {}) if status is None else status
    wanted = int(item["spec"]["replicas"])
    figures = {int(status.get(key, 0)) for key in ("replicas", "updatedReplicas", "availableReplicas")}
    return figures == {wanted} and status.get("observedGeneration", 0) >= item["metadata"]["generation"]


def _availability(item: Object, available: int) -> Words:
    _, unavailable = surge_and_unavailable(item)
    if available >= int(item["spec"]["replicas"]) - unavailable:
        return "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
    return "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."


def _with_progress(
    item: Object, status: Object, conditions: list[Object], newest: Object | None, now: datetime
) -> list[Object]:
    before = condition_of(item, PROGRESSING) or {}
    # A rollout that has completed stays so, whatever becomes of its pods later.
    if before.get("reason") == _DONE and status.get("replicas", 0) == status.get("updatedReplicas", 0):
        return conditions
    shown = f'ReplicaSet "{name_of(newest)}"' if newest else f'Deployment "{name_of(item)}"'
    if is_complete(item, status):
        return _with(conditions, PROGRESSING, ("True", _DONE, f"{shown} has successfully progressed."), now)
    if _has_moved(item, status):
        renewed = _with(
            [entry for entry in conditions if entry["type"] != PROGRESSING],
            PROGRESSING,
            ("True", "ReplicaSetUpdated", f"{shown} is progressing."),
            now,
        )
        if before.get("status") == "True":
            renewed[-1]["lastTransitionTime"] = before["lastTransitionTime"]
        return renewed
    if _has_timed_out(item, before, now):
        return _with(conditions, PROGRESSING, ("False", TIMED_OUT, f"{shown} has timed out progressing."), now)
    return conditions


def _has_timed_out(item: Object, before: Object, now: datetime) -> bool:
    if not before or before["reason"] == _DONE:
        return False
    deadline = timedelta(seconds=int(item["spec"]["progressDeadlineSeconds"]))
    return before["reason"] == TIMED_OUT or from_rfc3339(before["lastUpdateTime"]) + deadline < now


def _has_moved(item: Object, status: Object) -> bool:
    """Say whether the rollout came closer to its end since the status was written."""
    known = item.get("status") or {}

    def grew(key: str) -> bool:
        return int(status.get(key, 0)) > int(known.get(key, 0))

    old_before = int(known.get("replicas", 0)) - int(known.get("updatedReplicas", 0))
    old_now = int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))
    return grew("updatedReplicas") or old_now < old_before or grew("readyReplicas") or grew("availableReplicas")


def _conditions(item: Object) -> list[Object]:
    return list((item.get("status") or {}).get("conditions") or ())


def _with(conditions: list[Object], kind: str, words: Words, now: datetime) -> list[Object]:
    """Return the conditions with one of them so; it stays as it is where its status and its reason do."""
    value, reason, message = words
    before = next((entry for entry in conditions if entry["type"] == kind), {})
    if (before.get("status"), before.get("reason")) == (value, reason):
        return conditions
    stamp = to_rfc3339(now)
    made = {
        "type": kind,
        "status": value,
        "lastUpdateTime": stamp,
        "lastTransitionTime": before["lastTransitionTime"] if before.get("status") == value else stamp,
        "reason": reason,
        "message": message,
    }
    return [*(entry for entry in conditions if entry["type"] != kind), made]


def _figure(entry: Object | None, key: str) -> int:
    return int(((entry or {}).get("status") or {}).get(key, 0))
