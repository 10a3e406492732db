"""The status of a Deployment: figures from its ReplicaSets, conditions from the figures and from time.

A condition keeps its times while it does not change. ``Progressing`` is renewed by every bit of progress, and turns
false once none has been seen for progressDeadlineSeconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from mlflow_ops_sandbox.cluster.api.objects import Object, condition_of, name_of
from mlflow_ops_sandbox.cluster.api.proportions import surge_and_unavailable
from mlflow_ops_sandbox.cluster.api.times import from_rfc3339, to_rfc3339

_TIMED_OUT = "ProgressDeadlineExceeded"
_DONE = "NewReplicaSetAvailable"
_FIGURES = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


def deployment_status(item: Object, sets: list[Object], newest: Object | None) -> Object:
    """Return the status without its conditions."""
    replicas, ready, available, terminating = (
        sum(_figure(entry, key) for entry in sets)
        for key in ("replicas", "readyReplicas", "availableReplicas", "terminatingReplicas")
    )
    wanted = sum(int(entry["spec"].get("replicas", 0)) for entry in sets)
    figures = (
        replicas,
        _figure(newest, "replicas") if newest else 0,
        ready,
        available,
        max(max(wanted, int(item["spec"]["replicas"])) - available, 0),
    )
    return {
        "observedGeneration": item["metadata"]["generation"],
        **{key: figure for key, figure in zip(_FIGURES, figures, strict=True) if figure},
        "terminatingReplicas": terminating,
    }


def is_complete(item: Object, status: Object | None = None) -> bool:
    """Say whether all pods are of the newest template and available."""
    status = (item.get("status") or {}) if status is None else status
    wanted = int(item["spec"]["replicas"])
    figures = {int(status.get(key, 0)) for key in ("replicas", "updatedReplicas", "availableReplicas")}
    return figures == {wanted} and status.get("observedGeneration", 0) >= item["metadata"]["generation"]


def progress(item: Object, status: Object, newest: Object | None, sets: list[Object], now: datetime) -> list[Object]:
    """Return the conditions that go with this status."""
    before = condition_of(item, "Progressing")
    available = _available(item, status, now)
    if item["spec"].get("progressDeadlineSeconds") is None:
        return [available]
    if item["spec"].get("paused") or (before or {}).get("reason") == "DeploymentPaused":
        progressing = _paused(item, before, now)
    else:
        progressing = _progressing(item, status, newest, sets, now)
    # The order in which they were first written stays.
    listed = [available, progressing]
    known = [entry["type"] for entry in (item.get("status") or {}).get("conditions") or ()]
    return sorted(listed, key=lambda entry: known.index(entry["type"]) if entry["type"] in known else len(known))


def _available(item: Object, status: Object, now: datetime) -> Object:
    _, unavailable = surge_and_unavailable(item)
    if int(status.get("availableReplicas", 0)) >= int(item["spec"]["replicas"]) - unavailable:
        words = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        words = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    return _condition(item, "Available", words, now)


def _paused(item: Object, before: Object | None, now: datetime) -> Object:
    if item["spec"].get("paused"):
        if before is not None and before["reason"] == _TIMED_OUT:
            return before
        return _condition(item, "Progressing", ("Unknown", "DeploymentPaused", "Deployment is paused"), now)
    return _condition(item, "Progressing", ("Unknown", "DeploymentResumed", "Deployment is resumed"), now)


def _progressing(item: Object, status: Object, newest: Object | None, sets: list[Object], now: datetime) -> Object:
    before = condition_of(item, "Progressing") or {}
    shown = f'ReplicaSet "{name_of(newest)}"' if newest else f'Deployment "{name_of(item)}"'
    done = f"{shown} has successfully progressed."
    created = f'Created new replica set "{name_of(newest)}"' if newest else ""
    if is_complete(item, status) and newest is not None:
        return _condition(item, "Progressing", ("True", _DONE, done), now)
    # A rollout that has completed stays so, whatever becomes of its pods later.
    if (before.get("reason"), before.get("message")) == (_DONE, done) or (
        before.get("reason") == _TIMED_OUT and not _has_moved(item, status)
    ):
        return before
    if not before and newest is not None and len(sets) == 1 and not status.get("replicas"):
        return _condition(item, "Progressing", ("True", "NewReplicaSetCreated", created), now)
    if _has_moved(item, status) or not before or before.get("reason") in {_DONE, "DeploymentResumed"}:
        words = ("True", "ReplicaSetUpdated", f"{shown} is progressing.")
        return {**_condition(item, "Progressing", words, now), "lastUpdateTime": to_rfc3339(now)}
    deadline = timedelta(seconds=int(item["spec"]["progressDeadlineSeconds"]))
    if from_rfc3339(before["lastUpdateTime"]) + deadline < now:
        return _condition(item, "Progressing", ("False", _TIMED_OUT, f"{shown} has timed out progressing."), now)
    return before


def _has_moved(item: Object, status: Object) -> bool:
    """Say whether the rollout came closer to its end since the status was written."""
    known = item.get("status") or {}

    def grew(key: str) -> bool:
        return int(status.get(key, 0)) > int(known.get(key, 0))

    old_before = int(known.get("replicas", 0)) - int(known.get("updatedReplicas", 0))
    old_now = int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))
    return grew("updatedReplicas") or old_now < old_before or grew("readyReplicas") or grew("availableReplicas")


def _condition(item: Object, kind: str, words: tuple[str, str, str], now: datetime) -> Object:
    value, reason, message = words
    before = condition_of(item, kind) or {}
    if (before.get("status"), before.get("reason"), before.get("message")) == words:
        return before
    stamp = to_rfc3339(now)
    return {
        "type": kind,
        "status": value,
        "lastUpdateTime": stamp,
        "lastTransitionTime": before["lastTransitionTime"] if before.get("status") == value else stamp,
        "reason": reason,
        "message": message,
    }


def _figure(entry: Object | None, key: str) -> int:
    return int(((entry or {}).get("status") or {}).get(key, 0))
