"""Tables of the cluster itself: nodes, namespaces, events, leases, priority classes, revisions."""

from __future__ import annotations

from datetime import datetime

from mlflow_ops_sandbox.cluster.api.objects import Object, controller_of
from mlflow_ops_sandbox.cluster.api.times import age
from mlflow_ops_sandbox.cluster.apiserver.tables.columns import AGE, NAME, Cells, Column, Table, age_of, wide

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _node(item: Object, now: datetime) -> Cells:
    status = item.get("status") or {}
    states = [
        "Ready" if condition["status"] == "True" else "NotReady"
        for condition in status.get("conditions") or ()
        if condition["type"] == "Ready"
    ] or ["Unknown"]
    if item["spec"].get("unschedulable"):
        states.append("SchedulingDisabled")
    labels = item["metadata"].get("labels") or {}
    roles = sorted(label.removeprefix(_ROLE_PREFIX) for label in labels if label.startswith(_ROLE_PREFIX))
    addresses = {entry["type"]: entry["address"] for entry in status.get("addresses") or ()}
    about = status.get("nodeInfo") or {}
    return [
        item["metadata"]["name"],
        ",".join(states),
        ",".join(roles) or "<none>",
        age_of(item, now),
        about.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"),
        addresses.get("ExternalIP", "<none>"),
        about.get("osImage", "<unknown>"),
        about.get("kernelVersion", "<unknown>"),
        about.get("containerRuntimeVersion", "<unknown>"),
    ]


def _namespace(item: Object, now: datetime) -> Cells:
    return [item["metadata"]["name"], (item.get("status") or {}).get("phase", ""), age_of(item, now)]


def _event(item: Object, now: datetime) -> Cells:
    about = item.get("involvedObject") or {}
    first = item.get("firstTimestamp") or item.get("eventTime")
    last = item.get("lastTimestamp")
    series = item.get("series") or {}
    count = series.get("count") or item.get("count") or 1
    first_seen = age(first, now)
    if series.get("lastObservedTime"):
        seen = f"{age(series['lastObservedTime'], now)} (x{count} over {first_seen})"
    elif count > 1:
        seen = f"{age(last, now)} (x{count} over {first_seen})"
    else:
        seen = age(last, now) if last else first_seen
    source = item.get("source") or {}
    component = source.get("component") or item.get("reportingComponent") or ""
    host = source.get("host") or (item.get("reportingInstance") if not source else "") or ""
    return [
        seen,
        item.get("type", "Normal"),
        item.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(item.get("message", "")).strip(),
        first_seen,
        count,
        item["metadata"]["name"],
    ]


def _lease(item: Object, now: datetime) -> Cells:
    return [item["metadata"]["name"], (item.get("spec") or {}).get("holderIdentity", ""), age_of(item, now)]


def _priority_class(item: Object, now: datetime) -> Cells:
    preemption = item.get("preemptionPolicy", "PreemptLowerPriority")
    default = bool(item.get("globalDefault"))
    return [item["metadata"]["name"], item.get("value", 0), default, age_of(item, now), preemption]


def _revision(item: Object, now: datetime) -> Cells:
    owner = controller_of(item)
    kind = f"{owner['kind'].lower()}.{owner['apiVersion'].partition('/')[0]}/{owner['name']}" if owner else "<none>"
    return [item["metadata"]["name"], kind, item.get("revision", 0), age_of(item, now)]


CLUSTER_TABLES = {
    "Node": Table(
        (NAME, Column("Status", "The status of the node"), Column("Roles", "The roles of the node"), AGE,
         Column("Version", "Kubelet Version reported by the node."), wide("Internal-IP"), wide("External-IP"),
         wide("OS-Image"), wide("Kernel-Version"), wide("Container-Runtime")),
        _node,
    ),
    "Namespace": Table((NAME, Column("Status", "The status of the namespace"), AGE), _namespace),
    "Event": Table(
        (Column("Last Seen", "Time when this event was last observed"), Column("Type"), Column("Reason"),
         Column("Object"), wide("Subobject"), wide("Source"), Column("Message"), wide("First Seen"),
         Column("Count", type="string", priority=1), Column("Name", format="name", priority=1)),
        _event,
    ),
    "Lease": Table((NAME, Column("Holder"), AGE), _lease),
    "PriorityClass": Table(
        (NAME, Column("Value"), Column("Global-Default"), AGE, Column("PreemptionPolicy")), _priority_class
    ),
    "ControllerRevision": Table((NAME, Column("Controller"), Column("Revision"), AGE), _revision),
}  # fmt: skip
