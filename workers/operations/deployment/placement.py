"""Which nodes a pod may go to, however much room they have: as the scheduler filters them before it counts.

Cordoned nodes and those that aren't ready, the pod's node selector and required affinity, taints that it doesn't
tolerate, and required anti-affinity to pods that are there
(https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/). What is only preferred rules nothing out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from workers.operations.deployment.label_selectors import all_fit, fits
from workers.systems.cluster.fields import Fields

Json = dict[str, Any]

_KEEPS_OUT: Final = frozenset({"NoSchedule", "NoExecute"})
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_HOSTNAME: Final = "kubernetes.io/hostname"


def ruled_out(pod_spec: Json, node: Json, there: Sequence[Json]) -> str:
    """Why such a pod can't go to a node, in a few words; empty if it can. there: the pods on the node."""
    fields = Fields(node, "node")
    labels = {_HOSTNAME: fields.text("metadata", "name"), **fields.labels("metadata", "labels")}
    affinity = pod_spec.get("affinity") or {}
    missing = [
        f"{key}={value}" for key, value in (pod_spec.get("nodeSelector") or {}).items() if labels.get(key) != value
    ]
    kept_out = [
        f"{taint.text('key')}={taint.text('value')}".rstrip("=")
        for taint in fields.each("spec", "taints")
        if taint.text("effect") in _KEEPS_OUT and not _tolerated(pod_spec, taint)
    ]
    reasons = (
        (fields.flag("spec", "unschedulable"), "cordoned"),
        (not _is_ready(fields), "not ready"),
        (bool(missing), f"not {', '.join(missing)}"),
        (not _wanted((affinity.get("nodeAffinity") or {}).get(_REQUIRED), labels), "not of its node affinity"),
        (bool(kept_out), f"tainted {', '.join(kept_out)}"),
        (_is_kept_apart(affinity, there), "with a pod that it keeps apart from"),
    )
    return next((why for holds, why in reasons if holds), "")


def places_of_one_node(pod_spec: Json, labels: Mapping[str, str]) -> int | None:
    """How many such pods one node takes at most: 1 if they keep apart from each other; None for any number."""
    terms = ((pod_spec.get("affinity") or {}).get("podAntiAffinity") or {}).get(_REQUIRED) or ()
    apart = any(term.get("topologyKey") == _HOSTNAME and fits(term.get("labelSelector"), labels) for term in terms)
    return 1 if apart or _has_host_port(pod_spec) else None


def looks_into_other_namespaces(pod_spec: Json) -> bool:
    """Whether its affinity to pods, or its anti-affinity, is about those of other namespaces."""
    affinity = pod_spec.get("affinity") or {}
    found = [affinity.get(kind) or {} for kind in ("podAffinity", "podAntiAffinity")]
    terms = [term for each in found for term in each.get(_REQUIRED) or ()]
    terms += [each.get("podAffinityTerm") or {} for kind in found for each in kind.get(_PREFERRED) or ()]
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)


def _is_ready(node: Fields) -> bool:
    states = {each.text("type"): each.text("status") for each in node.each("status", "conditions")}
    return states.get("Ready", "True") == "True"


def _wanted(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """One of the terms is enough."""
    if selector is None:
        return True
    for term in selector.get("nodeSelectorTerms") or ():
        names = [{**each, "key": _HOSTNAME} for each in term.get("matchFields") or ()]
        if all_fit((*(term.get("matchExpressions") or ()), *names), labels):
            return True
    return False


def _tolerated(pod_spec: Json, taint: Fields) -> bool:
    for each in pod_spec.get("tolerations") or ():
        if each.get("effect") not in {None, "", taint.text("effect")}:
            continue
        if each.get("operator") == "Exists":
            if each.get("key") in {None, "", taint.text("key")}:
                return True
        elif each.get("key") == taint.text("key") and (each.get("value") or "") == taint.text("value"):
            return True
    return False


def _is_kept_apart(affinity: Json, there: Sequence[Json]) -> bool:
    """Only what is kept apart by node; a zone's pods aren't looked for."""
    terms = (affinity.get("podAntiAffinity") or {}).get(_REQUIRED) or ()
    return any(
        term.get("topologyKey") == _HOSTNAME and fits(term.get("labelSelector"), pod["metadata"].get("labels") or {})
        for term in terms
        for pod in there
    )


def _has_host_port(pod_spec: Json) -> bool:
    return any(port.get("hostPort") for each in pod_spec.get("containers") or () for port in each.get("ports") or ())
