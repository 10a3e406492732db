"""The status of a pod as the kubelet writes it, from what its containers are doing.

One function builds it from scratch; transition times are carried over from the status before, so that a condition
that has not changed keeps its time. The order of conditions is that of a real kubelet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from mlflow_ops_sandbox.cluster.api.defaulting import quality_of_service
from mlflow_ops_sandbox.cluster.api.objects import Object, condition_of, containers_of
from mlflow_ops_sandbox.cluster.api.times import to_rfc3339


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What one container is doing: exactly one of waiting, running, terminated in ``state``."""

    state: Object
    ready: bool = False
    started: bool = False
    restarts: int = 0
    last_state: Object = field(default_factory=dict)
    container_id: str = ""
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a pod runs."""

    node_ip: str
    pod_ip: str


class _Wanted(NamedTuple):
    kind: str
    holds: bool
    reason: str = ""
    message: str = ""


def waiting(reason: str, message: str = "") -> Object:
    """Return the state of a container that does not run yet, or not again."""
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}


def running(since: datetime) -> Object:
    """Return the state of a container that runs."""
    return {"running": {"startedAt": to_rfc3339(since)}}


def terminated(reason: str, exit_code: int, began: str, ended: datetime, container_id: str) -> Object:
    """Return the state of a container that has ended."""
    body: Object = {"exitCode": exit_code, "reason": reason, "startedAt": began, "finishedAt": to_rfc3339(ended)}
    if container_id:
        body["containerID"] = container_id
    return {"terminated": body}


def status_of(pod: Object, states: dict[str, ContainerState], placement: Placement, now: datetime) -> Object:
    """Return the status of a pod on a node; ``states`` by container name."""
    before = pod.get("status") or {}
    spec = pod["spec"]
    phase = _phase(spec, list(states.values()))
    unready = [name for name, state in states.items() if not state.ready]
    reason, message = "", ""
    if unready:
        names = " ".join(unready)
        reason, message = "ContainersNotReady", f"containers with unready status: [{names}]"
        if phase in {"Succeeded", "Failed"}:
            reason, message = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}[phase], ""
    started = bool(placement.pod_ip)
    generation = pod["metadata"].get("generation", 1)
    wanted = (
        _Wanted("PodReadyToStartContainers", started and phase not in {"Succeeded", "Failed"}),
        _Wanted("Initialized", holds=True, reason="PodCompleted" if phase == "Succeeded" else ""),
        _Wanted("Ready", not unready, reason, message),
        _Wanted("ContainersReady", not unready, reason, message),
        _Wanted("PodScheduled", holds=True),
    )
    status: Object = {
        "observedGeneration": generation,
        "phase": phase,
        "conditions": [_condition(pod, generation, now, entry) for entry in wanted],
        "hostIP": placement.node_ip,
        "hostIPs": [{"ip": placement.node_ip}],
    }
    if placement.pod_ip:
        status |= {"podIP": placement.pod_ip, "podIPs": [{"ip": placement.pod_ip}]}
    status["startTime"] = before.get("startTime") or to_rfc3339(now)
    status["containerStatuses"] = [_container(container, states[container["name"]]) for container in containers_of(pod)]
    status["qosClass"] = quality_of_service(spec)
    return status | _pod_resources(spec)


def unschedulable_status(pod: Object, message: str, now: datetime) -> Object:
    """Return the status of a pod that no node takes."""
    generation = pod["metadata"].get("generation", 1)
    wanted = _Wanted("PodScheduled", holds=False, reason="Unschedulable", message=message)
    condition = _condition(pod, generation, now, wanted)
    return {"phase": "Pending", "conditions": [condition], "qosClass": quality_of_service(pod["spec"])}


def _phase(spec: Object, states: list[ContainerState]) -> str:
    ended = [state.state["terminated"] for state in states if "terminated" in state.state]
    if states and len(ended) == len(states) and spec.get("restartPolicy") != "Always":
        if all(entry["exitCode"] == 0 for entry in ended):
            return "Succeeded"
        if spec.get("restartPolicy") == "Never":
            return "Failed"
    never_ran = [state for state in states if "waiting" in state.state and not state.last_state and not state.restarts]
    return "Pending" if never_ran else "Running"


def _condition(pod: Object, generation: int, now: datetime, wanted: _Wanted) -> Object:
    before = condition_of(pod, wanted.kind)
    value = "True" if wanted.holds else "False"
    kept = before is not None and before["status"] == value
    condition: Object = {
        "type": wanted.kind,
        "observedGeneration": generation,
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": before["lastTransitionTime"] if kept and before else to_rfc3339(now),
    }
    if wanted.reason:
        condition["reason"] = wanted.reason
    if wanted.message:
        condition["message"] = wanted.message
    return condition


def _container(container: Object, state: ContainerState) -> Object:
    status: Object = {
        "name": container["name"],
        "state": state.state,
        "lastState": state.last_state,
        "ready": state.ready,
        "restartCount": state.restarts,
        "image": container["image"],
        "imageID": state.image_id,
    }
    if state.container_id:
        status["containerID"] = state.container_id
    status["started"] = state.started
    resources = container.get("resources") or {}
    if "running" in state.state and resources:
        if resources.get("requests"):
            status["allocatedResources"] = dict(resources["requests"])
        status["resources"] = resources
    mounts = [
        {
            "name": mount["name"],
            "mountPath": mount["mountPath"],
            **({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {}),
        }
        for mount in container.get("volumeMounts") or ()
    ]
    if mounts:
        status["volumeMounts"] = mounts
    if "running" in state.state:
        status["user"] = {"linux": {"uid": 0, "gid": 0, "supplementalGroups": [0]}}
    return status


def _pod_resources(spec: Object) -> Object:
    containers = spec.get("containers") or []
    if len(containers) != 1 or not containers[0].get("resources"):
        return {}
    resources = containers[0]["resources"]
    allocated = {"allocatedResources": dict(resources["requests"])} if resources.get("requests") else {}
    return {**allocated, "resources": resources}
