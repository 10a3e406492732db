"""The scale subresource: how many replicas a workload has and should have, without the rest of it."""

from __future__ import annotations

from mlflow_ops_sandbox.cluster.api.label_selectors import format_selector
from mlflow_ops_sandbox.cluster.api.objects import Object


def scale_of(item: Object) -> Object:
    """Return the Scale of a Deployment, ReplicaSet, StatefulSet or ReplicationController."""
    metadata = item["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = item["spec"].get("selector")
    if selector and not {"matchLabels", "matchExpressions"} & set(selector):
        selector = {"matchLabels": selector}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": item["spec"].get("replicas", 0)},
        "status": {
            "replicas": (item.get("status") or {}).get("replicas", 0),
            "selector": format_selector(selector),
        },
    }
