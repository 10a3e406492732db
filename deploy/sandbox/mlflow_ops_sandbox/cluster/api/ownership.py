"""Who made what: the pods of an owner, the ReplicaSets of a Deployment, and the way in which pods begin and end."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta

from mlflow_ops_sandbox.cluster.api import defaulting
from mlflow_ops_sandbox.cluster.api.identifiers import random_suffix
from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    condition_of,
    controller_of,
    is_ready,
    is_terminating,
    name_of,
    namespace_of,
    uid_of,
)
from mlflow_ops_sandbox.cluster.api.resources import PODS, REPLICA_SETS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import from_rfc3339, to_rfc3339

REVISION = "deployment.kubernetes.io/revision"
TEMPLATE_HASH = "pod-template-hash"


def annotation_of(item: Object, key: str) -> str:
    """Return an annotation, empty where there is none."""
    return str((item["metadata"].get("annotations") or {}).get(key, ""))


def revision_of(item: Object) -> int:
    """Return the revision of a Deployment or of a ReplicaSet, 0 where it has none yet."""
    written = annotation_of(item, REVISION)
    return int(written) if written.isdigit() else 0


def owned_pods(store: Store, owner: Object) -> list[Object]:
    """Return the pods whose controller this is."""
    pods = store.all(PODS, namespace_of(owner))
    return [pod for pod in pods if (controller_of(pod) or {}).get("uid") == uid_of(owner)]


def replica_sets_of(store: Store, deployment: Object) -> list[Object]:
    """Return the ReplicaSets whose controller this is, the newest revision last."""
    owned = [
        item
        for item in store.all(REPLICA_SETS, namespace_of(deployment))
        if (controller_of(item) or {}).get("uid") == uid_of(deployment)
    ]
    return sorted(owned, key=lambda item: (revision_of(item), item["metadata"]["creationTimestamp"]))


def has_ended(pod: Object) -> bool:
    """Say whether all containers of a pod have ended for good."""
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def is_active(pod: Object) -> bool:
    """Say whether a controller counts this pod: neither ended nor on its way out."""
    return not has_ended(pod) and not is_terminating(pod)


def is_available(pod: Object, min_ready_seconds: int, now: datetime) -> bool:
    """Say whether a pod has been ready for long enough."""
    condition = condition_of(pod, "Ready")
    if condition is None or not is_ready(pod):
        return False
    since = from_rfc3339(condition["lastTransitionTime"])
    return not min_ready_seconds or since + timedelta(seconds=min_ready_seconds) <= now


def new_pod(template: Object, metadata: Object, owner: Object, *volumes: Object) -> Object:
    """Return a pod made from a pod template; ``metadata`` names it, ``owner`` is the reference to its controller."""
    spec = copy.deepcopy(template["spec"])
    if volumes:
        spec["volumes"] = [*(spec.get("volumes") or ()), *volumes]
    given = template.get("metadata") or {}
    made = dict(metadata)
    for key in ("labels", "annotations"):
        entries = {**(given.get(key) or {}), **(metadata.get(key) or {})}
        if entries:
            made[key] = entries
    pod: Object = {"metadata": {**made, "ownerReferences": [owner]}, "spec": spec}
    defaulting.default_pod(pod, f"kube-api-access-{random_suffix()}")
    return pod


def begin_deletion(store: Store, pod: Object, now: datetime) -> None:
    """Ask the node to end a pod, as DELETE does; a pod that no node has is gone at once."""
    if is_terminating(pod):
        return
    if not pod["spec"].get("nodeName") or has_ended(pod):
        store.delete(PODS, namespace_of(pod), name_of(pod))
        return
    grace = int(pod["spec"].get("terminationGracePeriodSeconds", 30))

    def mark(item: Object) -> None:
        item["metadata"]["deletionTimestamp"] = to_rfc3339(now + timedelta(seconds=grace))
        item["metadata"]["deletionGracePeriodSeconds"] = grace

    store.update(PODS, namespace_of(pod), name_of(pod), mark, intent=False)
