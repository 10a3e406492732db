"""What the server makes of an object before it is checked: defaults, and what each kind's strategy sets or keeps."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable

from mlflow_ops_sandbox.cluster.api import defaulting
from mlflow_ops_sandbox.cluster.api import resources as kinds
from mlflow_ops_sandbox.cluster.api.identifiers import random_suffix
from mlflow_ops_sandbox.cluster.api.objects import Object, name_of
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.store import Store

_RBAC = "rbac.authorization.k8s.io"
_FIRST_ADDRESS, _ADDRESSES = 100, 60_000
_NODE_PORTS = range(30000, 32768)


def _pod_spec(spec: Object) -> None:
    defaulting.default_pod_spec(spec)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for entry in container.get("env") or ():
            reference = (entry.get("valueFrom") or {}).get("fieldRef")
            if reference is not None:
                reference.setdefault("apiVersion", "v1")


def _template(owner: Object) -> None:
    spec = owner.setdefault("spec", {})
    _pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _deployment(item: Object) -> None:
    _template(item)
    strategy = item["spec"].setdefault("strategy", {})
    if strategy.get("type") == "Recreate" and not strategy.get("rollingUpdate"):
        strategy.pop("rollingUpdate", None)
    defaulting.default_deployment(item)


def _replica_set(item: Object) -> None:
    _template(item)
    item["spec"].setdefault("replicas", 1)
    item.setdefault("status", {"replicas": 0})


def _stateful_set(item: Object) -> None:
    _template(item)
    defaulting.default_stateful_set(item)


def _job_spec(spec: Object) -> None:
    _pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))
    if "parallelism" not in spec:
        spec.setdefault("completions", 1)
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")


def _job(item: Object) -> None:
    _job_spec(item.setdefault("spec", {}))
    item.setdefault("status", {})


def _cron_job(item: Object) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    job = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
    _pod_spec(job.setdefault("template", {}).setdefault("spec", {}))
    item.setdefault("status", {})


def _secret(item: Object) -> None:
    given = item.pop("stringData", None) or {}
    if given:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in given.items()}
        item["data"] = {**(item.get("data") or {}), **encoded}
    item.setdefault("type", "Opaque")


def _namespace(item: Object) -> None:
    item["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name_of(item)
    item.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    item.setdefault("status", {"phase": "Active"})


def _claim(item: Object) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("storageClassName", "standard")
    item.setdefault("status", {"phase": "Pending"})


def _autoscaler(item: Object) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if spec.get("behavior") is not None:
        defaulting.default_behavior(spec["behavior"])
    item.setdefault("status", {"desiredReplicas": 0, "currentMetrics": None})


def _limit_range(item: Object) -> None:
    """Fill in what an entry for containers leaves open: a maximum alone is the default limit, that the request."""
    for entry in (item.get("spec") or {}).get("limits") or ():
        if entry.get("type") != "Container":
            continue
        default = {**(entry.get("max") or {}), **(entry.get("default") or {})}
        request = {**(entry.get("min") or {}), **default, **(entry.get("defaultRequest") or {})}
        entry |= {key: value for key, value in (("default", default), ("defaultRequest", request)) if value}


def _network_policy(item: Object) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _ingress(item: Object) -> None:
    item.setdefault("status", {"loadBalancer": {}})


def _binding(item: Object) -> None:
    if item.get("roleRef"):
        item["roleRef"].setdefault("apiGroup", _RBAC)
    for subject in item.get("subjects") or ():
        if subject.get("kind") in {"User", "Group"}:
            subject.setdefault("apiGroup", _RBAC)


def _pod(item: Object) -> None:
    _pod_spec(item.setdefault("spec", {}))


_DEFAULTS: dict[Resource, Callable[[Object], None]] = {
    kinds.PODS: _pod,
    kinds.DEPLOYMENTS: _deployment,
    kinds.REPLICA_SETS: _replica_set,
    kinds.STATEFUL_SETS: _stateful_set,
    kinds.JOBS: _job,
    kinds.CRON_JOBS: _cron_job,
    kinds.SECRETS: _secret,
    kinds.NAMESPACES: _namespace,
    kinds.PERSISTENT_VOLUME_CLAIMS: _claim,
    kinds.HORIZONTAL_POD_AUTOSCALERS: _autoscaler,
    kinds.LIMIT_RANGES: _limit_range,
    kinds.NETWORK_POLICIES: _network_policy,
    kinds.INGRESSES: _ingress,
    kinds.ROLE_BINDINGS: _binding,
    kinds.CLUSTER_ROLE_BINDINGS: _binding,
}


def apply_defaults(resource: Resource, item: Object) -> None:
    """Fill in what nobody wrote; of new and of changed objects alike."""
    fill = _DEFAULTS.get(resource)
    if fill is not None:
        fill(item)


def prepare_create(store: Store, resource: Resource, item: Object) -> None:
    """Make a new object what the server would make of it before it has a name; ``item`` is edited."""
    metadata = item["metadata"]
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink",
                 "generation", "managedFields"):  # fmt: skip
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.uuid4())
    if resource.subresource("status") is not None:
        item.pop("status", None)
    if resource == kinds.SERVICES:
        _prepare_service(store, item)
    apply_defaults(resource, item)
    if resource == kinds.PODS:
        defaulting.default_pod(item, f"kube-api-access-{random_suffix()}")


def complete_create(resource: Resource, item: Object) -> None:
    """Fill in what is made of a new object's name; ``item`` is edited."""
    if resource == kinds.JOBS:
        _complete_job(item)


def prepare_update(resource: Resource, before: Object, after: Object) -> None:
    """Keep what a write of the object itself may not change; ``after`` is edited."""
    metadata, old = after["metadata"], before["metadata"]
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink",
                 "generation", "managedFields", "generateName", "resourceVersion", "namespace"):  # fmt: skip
        metadata.pop(name, None)
        if name in old:
            metadata[name] = old[name]
    if resource.subresource("status") is not None:
        after.pop("status", None)
        if "status" in before:
            after["status"] = before["status"]
    if resource == kinds.SERVICES:
        _keep_service(before, after)
    apply_defaults(resource, after)


def _prepare_service(store: Store, item: Object) -> None:
    spec = item.setdefault("spec", {})
    used = {entry["spec"].get("clusterIP") for entry in store.all(kinds.SERVICES)}
    address = next(text for number in range(_FIRST_ADDRESS, _ADDRESSES)
                   if (text := f"10.96.{number // 250}.{number % 250 + 1}") not in used)  # fmt: skip
    if any("port" not in port for port in spec.get("ports") or ()):
        for port in spec["ports"]:
            port.setdefault("port", 0)
    if spec.get("clusterIP") == "None":
        spec.setdefault("clusterIPs", ["None"])
    defaulting.default_service(item, address)
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        _assign_node_ports(store, spec)


def _assign_node_ports(store: Store, spec: Object) -> None:
    ports = [port for entry in store.all(kinds.SERVICES) for port in entry["spec"].get("ports") or ()]
    used = {port.get("nodePort") for port in (*ports, *(spec.get("ports") or ()))}
    free = (number for number in _NODE_PORTS if number not in used)
    for port in spec.get("ports") or ():
        if not port.get("nodePort"):
            port["nodePort"] = next(free)


def _keep_service(before: Object, after: Object) -> None:
    spec = after.setdefault("spec", {})
    for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if name in before["spec"]:
            spec.setdefault(name, before["spec"][name])
    defaulting.default_service(after, str(before["spec"].get("clusterIP", "")))


def _complete_job(item: Object) -> None:
    uid, name = item["metadata"]["uid"], name_of(item)
    marks = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    spec = item["spec"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for key, value in marks.items():
        labels.setdefault(key, value)
    spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})
    metadata = item["metadata"]
    if not metadata.get("labels"):
        metadata["labels"] = dict(labels)
