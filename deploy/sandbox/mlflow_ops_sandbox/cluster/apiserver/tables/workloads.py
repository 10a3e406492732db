"""Tables of what owns pods: deployments, replica sets, stateful sets, daemon sets, jobs, cron jobs, autoscalers."""

from __future__ import annotations

from datetime import datetime

from mlflow_ops_sandbox.cluster.api.label_selectors import format_selector
from mlflow_ops_sandbox.cluster.api.objects import Object, condition_of, is_terminating
from mlflow_ops_sandbox.cluster.api.times import age, from_rfc3339, human_duration
from mlflow_ops_sandbox.cluster.apiserver.tables.columns import (
    AGE,
    CONTAINERS_DESCRIPTION,
    IMAGES_DESCRIPTION,
    NAME,
    Cells,
    Column,
    Table,
    age_of,
    pairs,
    template_cells,
    wide,
)

_CONTAINERS = wide("Containers", CONTAINERS_DESCRIPTION)
_IMAGES = wide("Images", IMAGES_DESCRIPTION)
_SELECTOR = wide(
    "Selector",
    "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this "
    "deployment. It must match the pod template's labels.",
)


def _count(item: Object, name: str) -> int:
    return int((item.get("status") or {}).get(name) or 0)


def _deployment(item: Object, now: datetime) -> Cells:
    return [
        item["metadata"]["name"],
        f"{_count(item, 'readyReplicas')}/{item['spec'].get('replicas', 0)}",
        _count(item, "updatedReplicas"),
        _count(item, "availableReplicas"),
        age_of(item, now),
        *template_cells(item),
        format_selector(item["spec"].get("selector")),
    ]


def _replica_set(item: Object, now: datetime) -> Cells:
    return [
        item["metadata"]["name"],
        item["spec"].get("replicas", 0),
        _count(item, "replicas"),
        _count(item, "readyReplicas"),
        age_of(item, now),
        *template_cells(item),
        format_selector(item["spec"].get("selector")),
    ]


def _replication_controller(item: Object, now: datetime) -> Cells:
    return [*_replica_set({**item, "spec": {**item["spec"], "selector": None}}, now)[:-1],
            pairs(item["spec"].get("selector"))]  # fmt: skip


def _stateful_set(item: Object, now: datetime) -> Cells:
    ready = f"{_count(item, 'readyReplicas')}/{item['spec'].get('replicas', 0)}"
    return [item["metadata"]["name"], ready, age_of(item, now), *template_cells(item)]


def _daemon_set(item: Object, now: datetime) -> Cells:
    return [
        item["metadata"]["name"],
        _count(item, "desiredNumberScheduled"),
        _count(item, "currentNumberScheduled"),
        _count(item, "numberReady"),
        _count(item, "updatedNumberScheduled"),
        _count(item, "numberAvailable"),
        pairs(item["spec"]["template"]["spec"].get("nodeSelector")),
        age_of(item, now),
        *template_cells(item),
        format_selector(item["spec"].get("selector")),
    ]


def _job_state(item: Object) -> str:
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed")):
        condition = condition_of(item, kind)
        if condition and condition["status"] == "True":
            return word
    if is_terminating(item):
        return "Terminating"
    for kind, word in (("Suspended", "Suspended"), ("FailureTarget", "FailureTarget"),
                       ("SuccessCriteriaMet", "SuccessCriteriaMet")):  # fmt: skip
        condition = condition_of(item, kind)
        if condition and condition["status"] == "True":
            return word
    return "Running"


def _job(item: Object, now: datetime) -> Cells:
    status, spec = item.get("status") or {}, item["spec"]
    succeeded, completions = _count(item, "succeeded"), spec.get("completions")
    parallelism = spec.get("parallelism") or 0
    if completions is not None:
        done = f"{succeeded}/{completions}"
    else:
        done = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    duration = ""
    if status.get("startTime"):
        end = from_rfc3339(status["completionTime"]) if status.get("completionTime") else now
        duration = human_duration((end - from_rfc3339(status["startTime"])).total_seconds())
    return [
        item["metadata"]["name"],
        _job_state(item),
        done,
        duration,
        age_of(item, now),
        *template_cells(item),
        format_selector(spec.get("selector")),
    ]


def _cron_job(item: Object, now: datetime) -> Cells:
    spec, status = item["spec"], item.get("status") or {}
    last = status.get("lastScheduleTime")
    template = spec["jobTemplate"]
    return [
        item["metadata"]["name"],
        spec["schedule"],
        spec.get("timeZone") or "<none>",
        str(bool(spec.get("suspend"))),
        len(status.get("active") or []),
        age(last, now) if last else "<none>",
        age_of(item, now),
        *template_cells(template),
        format_selector(template["spec"].get("selector")),
    ]


def _targets(item: Object) -> str:
    current = (item.get("status") or {}).get("currentMetrics") or []
    shown: list[str] = []
    for position, metric in enumerate(item["spec"].get("metrics") or []):
        source = metric.get("resource") or {}
        target = source.get("target") or {}
        now = (current[position].get("resource") or {}).get("current") or {} if position < len(current) else {}
        if target.get("averageUtilization") is not None:
            reached = now.get("averageUtilization")
            shown.append(
                f"{source.get('name')}: {'<unknown>' if reached is None else f'{reached}%'}"
                f"/{target['averageUtilization']}%"
            )
        else:
            shown.append(f"{source.get('name')}: {now.get('averageValue', '<unknown>')}/{target.get('averageValue')}")
    return ", ".join(shown) or "<none>"


def _autoscaler(item: Object, now: datetime) -> Cells:
    spec = item["spec"]
    reference = f"{spec['scaleTargetRef']['kind']}/{spec['scaleTargetRef']['name']}"
    least = spec.get("minReplicas")
    return [
        item["metadata"]["name"],
        reference,
        _targets(item),
        "<unset>" if least is None else str(least),
        spec.get("maxReplicas", 0),
        _count(item, "currentReplicas"),
        age_of(item, now),
    ]


def _disruption_budget(item: Object, now: datetime) -> Cells:
    spec = item["spec"]
    return [
        item["metadata"]["name"],
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        _count(item, "disruptionsAllowed"),
        age_of(item, now),
    ]


_REPLICAS = (
    NAME,
    Column("Desired", "Replicas is the number of desired replicas.", "integer"),
    Column("Current", "Replicas is the most recently observed number of replicas.", "integer"),
    Column("Ready", "The number of ready replicas.", "integer"),
    AGE,
    _CONTAINERS,
    _IMAGES,
    wide("Selector", "Selector is a label query over pods that should match the replica count."),
)
_DEPLOYMENT_COLUMNS = (
    NAME,
    Column("Ready", "Number of the pod with ready state"),
    Column(
        "Up-to-date",
        "Total number of non-terminating pods targeted by this deployment that have the desired template spec.",
    ),
    Column(
        "Available",
        "Total number of available non-terminating pods (ready for at least minReadySeconds) targeted by this "
        "deployment.",
    ),
    AGE,
    _CONTAINERS,
    _IMAGES,
    _SELECTOR,
)
WORKLOAD_TABLES = {
    "Deployment": Table(_DEPLOYMENT_COLUMNS, _deployment),
    "ReplicaSet": Table(_REPLICAS, _replica_set),
    "ReplicationController": Table(_REPLICAS, _replication_controller),
    "StatefulSet": Table(
        (NAME, Column("Ready", "Number of the pod with ready state"), AGE, _CONTAINERS, _IMAGES), _stateful_set
    ),
    "DaemonSet": Table(
        (
            NAME,
            *(Column(name, type="integer") for name in ("Desired", "Current", "Ready", "Up-to-date", "Available")),
            Column("Node Selector"), AGE, _CONTAINERS, _IMAGES, wide("Selector"),
        ),
        _daemon_set,
    ),
    "Job": Table(
        (NAME, Column("Status", "Status of the job."), Column("Completions"),
         Column("Duration", "Time required to complete the job."), AGE, _CONTAINERS, _IMAGES, wide("Selector")),
        _job,
    ),
    "CronJob": Table(
        (NAME, Column("Schedule", "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron."),
         Column("Timezone"), Column("Suspend", type="boolean"), Column("Active", type="integer"),
         Column("Last Schedule"), AGE, _CONTAINERS, _IMAGES, wide("Selector")),
        _cron_job,
    ),
    "HorizontalPodAutoscaler": Table(
        (NAME, Column("Reference"), Column("Targets"), Column("MinPods"), Column("MaxPods"), Column("Replicas"), AGE),
        _autoscaler,
    ),
    "PodDisruptionBudget": Table(
        (NAME, Column("Min Available", "The minimum number of pods that must be available."),
         Column("Max Unavailable", "The maximum number of pods that may be unavailable."),
         Column("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time.", "integer"),
         AGE),
        _disruption_budget,
    ),
}  # fmt: skip
