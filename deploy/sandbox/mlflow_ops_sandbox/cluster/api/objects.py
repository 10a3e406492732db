"""Kubernetes objects as plain JSON, and the questions that everything asks of them.

An object that came out of the store is shared: it must not be changed in place (``Store.update`` hands out a copy).
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def name_of(item: Object) -> str:
    """Return ``metadata.name``."""
    return str(item["metadata"].get("name", ""))


def namespace_of(item: Object) -> str:
    """Return ``metadata.namespace``, empty for an object of the whole cluster."""
    return str(item["metadata"].get("namespace", ""))


def uid_of(item: Object) -> str:
    """Return ``metadata.uid``."""
    return str(item["metadata"].get("uid", ""))


def labels_of(item: Object) -> dict[str, str]:
    """Return the labels, possibly none."""
    labels: dict[str, str] = item["metadata"].get("labels") or {}
    return labels


def is_terminating(item: Object) -> bool:
    """Say whether deletion has begun."""
    return "deletionTimestamp" in item["metadata"]


def controller_of(item: Object) -> Object | None:
    """Return the owner reference of the controller, if there is one."""
    for owner in item["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return None


def owner_reference(api_version: str, kind: str, owner: Object) -> Object:
    """Build the reference by which a controller marks what it made."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def containers_of(pod: Object) -> list[Object]:
    """Return the containers of a pod (or of a pod template)."""
    containers: list[Object] = pod["spec"].get("containers") or []
    return containers


def condition_of(item: Object, kind: str) -> Object | None:
    """Return the condition of that type, if the status has it."""
    for condition in (item.get("status") or {}).get("conditions") or ():
        if condition["type"] == kind:
            return dict(condition)
    return None


def is_ready(pod: Object) -> bool:
    """Say whether a pod's Ready condition is true."""
    condition = condition_of(pod, "Ready")
    return condition is not None and condition["status"] == "True"
