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
from workers.operations.deployment import limit_range, quota
from workers.operations.deployment.rollout import HOPELESS, LOOK_SECONDS
from workers.operations.health import pods
from workers.systems.cluster import events
from workers.systems.cluster.annotations import PURPOSE as PURPOSE_LABEL

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems import Systems
    from workers.systems.cluster.client import Cluster

LOG_LINES: Final = 200
NOT_PULLED: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
NOT_STARTED: Final = frozenset({"StartError", "ContainerCannotRun", "RunContainerError"})
"""The image is there, and the program isn't in it."""
_PLACELESS_SECONDS: Final = 20.0
"""No node has had room for so long: it is said, instead of waiting until the end."""
PURPOSE: Final = PURPOSE_LABEL
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
    """How it ended. why: a sentence's end if it did not go well. lines: the last ones that it printed.

    state: its pod's, in Kubernetes' word, if that is why. said: what the registry, the runtime or the scheduler says.
    """

    well: bool
    why: str = ""
    lines: tuple[str, ...] = ()
    state: str = ""
    said: str = ""


def run_once(systems: Systems, progress: Progress, once: JobSpec) -> JobResult:
    """Run it, and wait. Raises OperatorError, also if a quota or a limit refuses it, and Cancelled."""
    cluster, names = systems.cluster, systems.settings.ops.kubernetes
    deployment = cluster.deployment(names.deployment)
    name = named(names.deployment, once.purpose)
    begin(systems, manifest(deployment, names.container, name, once))
    try:
        return wait(cluster, progress, name, once.seconds)
    finally:
        cluster.delete_job(name)


def begin(systems: Systems, job: dict[str, Any]) -> None:
    """Create a Job. Raises OperatorError, also if a quota or a limit refuses it."""
    require_allowed(systems, job)
    systems.cluster.create_job(job)


def named(deployment: str, purpose: str) -> str:
    """A name for such a Job, new each time."""
    return f"{deployment[:30]}-{purpose}-{secrets.token_hex(4)}"


def require_room(systems: Systems, once: JobSpec) -> None:
    """Raise OperatorError if a quota or a limit of the namespace refuses such a Job, before anybody approves it."""
    names = systems.settings.ops.kubernetes
    job = manifest(systems.cluster.deployment(names.deployment), names.container, once.purpose, once)
    require_allowed(systems, job)


def require_allowed(systems: Systems, job: dict[str, Any]) -> None:
    """Raise OperatorError if a quota or a limit of the namespace refuses such a Job."""
    limit_range.require_within(systems, job["spec"]["template"]["spec"])
    quota.require_room_for_job(systems, job)


def has_ended(job: dict[str, Any]) -> bool:
    """Whether a Job is over, well or not."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each.get("type") in _ENDED and each.get("status") == "True" for each in conditions)


def sweep(cluster: Cluster, purpose: str) -> bool:
    """Remove the Jobs of that purpose that have ended and whose worker was not there to do it; whether one still runs.

    Raises ClusterError.
    """
    running = False
    for job in cluster.jobs(f"{PURPOSE}={purpose}"):
        if has_ended(job):
            cluster.delete_job(job["metadata"]["name"])
        else:
            running = True
    return running


def wait(cluster: Cluster, progress: Progress, name: str, seconds: float, mark: str = "") -> JobResult:
    """Wait until it has ended, or has printed that line; how it is then. Raises ClusterError, Cancelled."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        conditions = {
            each.get("type"): each
            for each in (cluster.job(name).get("status") or {}).get("conditions") or ()
            if each.get("status") == "True"
        }
        states = [pods.read(pod, datetime.now(UTC)) for pod in cluster.pods(f"job-name={name}")]
        if _ENDED & conditions.keys():
            said = str(conditions.get("Failed", {}).get("message") or "its program failed").rstrip(".")
            state = next((each.died.reason for each in states if each.died), "")
            if "Complete" in conditions:
                return JobResult(well=True, lines=_printed(cluster, name))
            return JobResult(well=False, why=said, lines=_printed(cluster, name), state=state)
        if mark and mark in (lines := _printed(cluster, name)):
            return JobResult(well=True, lines=lines)
        placeless = time.monotonic() - began > _PLACELESS_SECONDS
        for each in states:
            if each.state in HOPELESS or (placeless and each.trouble == "Unschedulable"):
                said = _pull_words(cluster, each) if each.state in NOT_PULLED else each.trouble_said.strip().rstrip(".")
                why = f"its pod is in {each.state}{f' ({said})' if said else ''}"
                return JobResult(well=False, why=why, state=each.state, said=said)
        progress.checkpoint()
        time.sleep(LOOK_SECONDS)
    return JobResult(
        well=False, why=f"it did not {'begin' if mark else 'end'} within {seconds:.0f} s", lines=_printed(cluster, name)
    )


def _pull_words(cluster: Cluster, pod: pods.PodState) -> str:
    """What the registry says. A back-off's message may say nothing but that; then the event has it."""
    said = pod.trouble_said.strip().rstrip(".")
    _, _, words = said.partition("ErrImagePull: ")
    if words or not said.startswith("Back-off"):
        return words or said
    try:
        told = [events.read(item) for item in cluster.warnings()]
    except OperatorError:
        return said
    failed = (
        each.message for each in told if each.name == pod.name and each.message.startswith("Failed to pull image")
    )
    return next(failed, said).rstrip(".")


def _printed(cluster: Cluster, name: str) -> tuple[str, ...]:
    lines: list[str] = []
    for pod in cluster.pods(f"job-name={name}"):
        try:
            found = cluster.log_lines(pod["metadata"]["name"], "once", since_seconds=86_400, tail_lines=LOG_LINES)
            lines += [line.partition(" ")[2] for line in found]
        except OperatorError:
            continue
    return tuple(lines[-LOG_LINES:])


def manifest(deployment: dict[str, Any], container: str, name: str, once: JobSpec) -> dict[str, Any]:
    """The Job. deployment, container: whose settings it has."""
    spec = deployment["spec"]["template"]["spec"]
    ours = next((each for each in spec["containers"] if each["name"] == container), spec["containers"][0])
    like = {key: ours[key] for key in _KEPT_OF_CONTAINER if key in ours}
    pod = {key: spec[key] for key in (*_KEPT_OF_POD, "volumes") if key in spec}
    if once.environment:
        kept = [each for each in like.get("env") or () if each.get("name") not in dict(once.environment)]
        like["env"] = [*kept, *({"name": key, "value": value} for key, value in once.environment)]
    labels = {"app.kubernetes.io/managed-by": "mlflow-ops", PURPOSE: once.purpose}
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
