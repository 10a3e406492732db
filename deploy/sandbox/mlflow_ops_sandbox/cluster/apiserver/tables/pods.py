"""The table of pods. Its STATUS is not the phase but the reason nearest to what a person should know."""

from __future__ import annotations

from datetime import datetime

from mlflow_ops_sandbox.cluster.api.objects import Object, condition_of, is_terminating
from mlflow_ops_sandbox.cluster.api.times import age
from mlflow_ops_sandbox.cluster.apiserver.tables.columns import AGE, NAME, Cells, Column, Table, age_of, wide

_NODE = (
    "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by the "
    "scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible for the "
    "lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled on a "
    "specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename"
)
_NOMINATED_NODE = (
    "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled "
    "right away as preemption victims receive their graceful termination periods. This field does not guarantee "
    "that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes "
    "become available sooner. Scheduler may also decide to give the resources on this node to a higher priority "
    "pod that is created after preemption. As a result, this field may be different than PodSpec.nodeName when "
    "the pod is scheduled."
)
_READINESS_GATES = (
    "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers are "
    'ready AND all conditions specified in the readiness gates have status equal to "True" More info: '
    "https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates"
)
_COLUMNS = (
    NAME,
    Column("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", "The aggregate status of the containers in this pod."),
    Column(
        "Restarts",
        "The number of times the containers in this pod have been restarted and when the last container in this pod "
        "has restarted.",
    ),
    AGE,
    wide("IP", "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated."),
    wide("Node", _NODE),
    wide("Nominated Node", _NOMINATED_NODE),
    wide("Readiness Gates", _READINESS_GATES),
)


def pod_reason(pod: Object) -> str:
    """Return the STATUS column: Running, Completed, CrashLoopBackOff, Terminating, …"""
    status = pod.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or "")
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    running = False
    for container in reversed(status.get("containerStatuses") or []):
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated:
            reason = terminated.get("reason") or _exit_reason(terminated)
        elif container.get("ready") and state.get("running"):
            running = True
    if reason == "Completed" and running:
        ready = condition_of(pod, "Ready")
        reason = "Running" if ready and ready["status"] == "True" else "NotReady"
    if is_terminating(pod):
        lost = status.get("reason") == "NodeLost"
        finished = status.get("phase") in {"Succeeded", "Failed"}
        return "Unknown" if lost else reason if finished else "Terminating"
    return reason


def _exit_reason(terminated: Object) -> str:
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _restarts(pod: Object, now: datetime) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    count = sum(container.get("restartCount", 0) for container in statuses)
    ended = [
        container["lastState"]["terminated"]["finishedAt"]
        for container in statuses
        if (container.get("lastState") or {}).get("terminated", {}).get("finishedAt")
    ]
    return f"{count} ({age(max(ended), now)} ago)" if count and ended else str(count)


def _cells(pod: Object, now: datetime) -> Cells:
    spec, status = pod["spec"], pod.get("status") or {}
    statuses = status.get("containerStatuses") or []
    ready = sum(1 for container in statuses if container.get("ready") and container["state"].get("running"))
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec.get('containers') or [])}",
        pod_reason(pod),
        _restarts(pod, now),
        age_of(pod, now),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        "<none>",
    ]


def _conditions(pod: Object) -> list[Object]:
    phase = (pod.get("status") or {}).get("phase")
    messages = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    if phase not in messages:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": messages[phase]}]


POD_TABLE = Table(_COLUMNS, _cells, _conditions)
