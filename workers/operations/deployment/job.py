"""A program run once in the image and with the settings of MLflow's own container, as a Kubernetes Job.

The Job's pod has none of the Deployment's labels: no Service sends it requests, and no ReplicaSet counts it. It is
removed afterwards, and by Kubernetes itself after an hour where nobody is left to do it
(https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/).
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.deployment.rollout import HOPELESS, LOOK_SECONDS
from workers.operations.health import pods

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems import Systems
    from workers.systems.cluster.client import Cluster

LOG_LINES: Final = 200
_PURPOSE: Final = "mlflow-ops/purpose"
_ENDED: Final = frozenset({"Complete", "Failed"})
_KEPT_OF_POD: Final = (
    "serviceAccountName",
    "automountServiceAccountToken",
    "imagePullSecrets",
    "securityContext",
    "nodeSelector",
    "tolerations",
)
_KEPT_OF_CONTAINER: Final = ("env", "envFrom", "resources", "securityContext", "imagePullPolicy", "volumeMounts")


@dataclass(frozen=True)
class JobSpec:
    """What is to be run. purpose: a word for the Job's name. seconds: how long it may take.

    environment: variables beside the container's own, instead of those of the same name; they stand in the Job for
    everybody to read who may read Jobs, so none is a secret.
    """

    image: str
    command: tuple[str, ...]
    purpose: str
    seconds: float
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class JobResult:
    """How it ended. why: a sentence's end where it did not go well. lines: the last ones that it printed."""

    well: bool
    why: str = ""
    lines: tuple[str, ...] = ()


def run_once(systems: Systems, progress: Progress, once: JobSpec) -> JobResult:
    """Run it, and wait. Raises OperatorError and Cancelled."""
    cluster, names = systems.cluster, systems.settings.ops.kubernetes
    deployment = cluster.deployment(names.deployment)
    name = f"{names.deployment[:30]}-{once.purpose}-{secrets.token_hex(4)}"
    cluster.create_job(_job(deployment, names.container, name, once))
    try:
        return _await(cluster, progress, name, once.seconds)
    finally:
        cluster.delete_job(name)


def sweep(cluster: Cluster, purpose: str) -> bool:
    """Remove the Jobs of that purpose that have ended and whose worker was not there to do it; whether one still runs.

    Raises ClusterError.
    """
    running = False
    for job in cluster.jobs(f"{_PURPOSE}={purpose}"):
        conditions = (job.get("status") or {}).get("conditions") or ()
        if any(each.get("type") in _ENDED and each.get("status") == "True" for each in conditions):
            cluster.delete_job(job["metadata"]["name"])
        else:
            running = True
    return running


def _await(cluster: Cluster, progress: Progress, name: str, seconds: float) -> JobResult:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        conditions = {
            each.get("type"): each
            for each in (cluster.job(name).get("status") or {}).get("conditions") or ()
            if each.get("status") == "True"
        }
        if _ENDED & conditions.keys():
            said = str(conditions.get("Failed", {}).get("message") or "its program failed").rstrip(".")
            well = "Complete" in conditions
            return JobResult(well, "" if well else said, _printed(cluster, name))
        for pod in cluster.pods(f"job-name={name}"):
            state = pods.read(pod, datetime.now(UTC))
            if state.state in HOPELESS:
                return JobResult(
                    well=False, why=f"its pod is in {state.state} ({state.trouble_said.strip().rstrip('.')})"
                )
        progress.checkpoint()
        time.sleep(LOOK_SECONDS)
    return JobResult(well=False, why=f"it did not end within {seconds:.0f} s", lines=_printed(cluster, name))


def _printed(cluster: Cluster, name: str) -> tuple[str, ...]:
    lines: list[str] = []
    for pod in cluster.pods(f"job-name={name}"):
        try:
            found = cluster.log_lines(pod["metadata"]["name"], "once", since_seconds=86_400, tail_lines=LOG_LINES)
            lines += [line.partition(" ")[2] for line in found]
        except OperatorError:
            continue
    return tuple(lines[-LOG_LINES:])


def _job(deployment: dict[str, Any], container: str, name: str, once: JobSpec) -> dict[str, Any]:
    spec = deployment["spec"]["template"]["spec"]
    ours = next((each for each in spec["containers"] if each["name"] == container), spec["containers"][0])
    like = {key: ours[key] for key in _KEPT_OF_CONTAINER if key in ours}
    pod = {key: spec[key] for key in (*_KEPT_OF_POD, "volumes") if key in spec}
    if once.environment:
        kept = [each for each in like.get("env") or () if each.get("name") not in dict(once.environment)]
        like["env"] = [*kept, *({"name": key, "value": value} for key, value in once.environment)]
    labels = {"app.kubernetes.io/managed-by": "mlflow-ops", _PURPOSE: once.purpose}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(once.seconds),
            "ttlSecondsAfterFinished": 3600,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    **pod,
                    "restartPolicy": "Never",
                    "containers": [{**like, "name": "once", "image": once.image, "command": list(once.command)}],
                },
            },
        },
    }
