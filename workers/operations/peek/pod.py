"""The Job of a peek: the Deployment's image, on the database that a worker hosts.

It has the Deployment's settings and quota, and of its volumes only empty ones: what else is mounted there may be
written to. Its pods bear the label mlflow-ops/purpose=peek, which a Service or a NetworkPolicy can select.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.deployment import job
from workers.operations.deployment.job import JobSpec
from workers.operations.peek import pod_program

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.peek.state import Asked
    from workers.settings import Settings
    from workers.systems import Systems

PURPOSE: Final = "peek"
OPEN_SECONDS: Final = 300.0
"""For an image to be pulled and MLflow to start."""
LEEWAY_SECONDS: Final = 60
"""It ends by itself; Kubernetes ends it where it does not."""
NOBODY: Final = "192.0.2.1:5432"
"""An address of nobody, for a Job that is not made (RFC 5737)."""


def require_room(systems: Systems, wanted: Asked) -> None:
    """Raise OperatorError if a quota or a limit of the namespace refuses such a Job, or there is no Deployment."""
    job.require_allowed(systems, _manifest(systems, wanted, NOBODY))


def open_on(systems: Systems, progress: Progress, wanted: Asked, where: str) -> None:
    """Make it, and wait until it has read through MLflow. where: the database's host and port.

    Raises OperatorError where it does not come to that, and Cancelled.
    """
    job.begin(systems, _manifest(systems, wanted, where))
    seen = job.wait(systems.cluster, progress, wanted.job, OPEN_SECONDS, pod_program.OPEN)
    if seen.well and pod_program.OPEN in seen.lines:
        return
    told = [line.removeprefix(pod_program.MARK).strip() for line in seen.lines if line.startswith(pod_program.MARK)]
    last = told[-1:] or [line for line in seen.lines if line.strip()][-1:]
    said = f" Its last words: {last[0][:200]}" if last else ""
    why = seen.why or "it has ended"
    raise OperatorError(
        f"MLflow didn't start on the database of that moment: {why}.{said}", "The live MLflow is as it was."
    )


def running(systems: Systems) -> list[str]:
    """The names of the Jobs that are there, those whose peek is over too."""
    found = systems.cluster.jobs(f"{job.PURPOSE}={PURPOSE}")
    return sorted(str(each["metadata"]["name"]) for each in found)


def serving(systems: Systems) -> list[str]:
    """The names of those that have not ended."""
    found = systems.cluster.jobs(f"{job.PURPOSE}={PURPOSE}")
    return [str(each["metadata"]["name"]) for each in found if not job.has_ended(each)]


def name(settings: Settings) -> str:
    """A name for a Job."""
    return job.named(settings.ops.kubernetes.deployment, PURPOSE)


def _manifest(systems: Systems, wanted: Asked, where: str) -> dict[str, Any]:
    names, peek = systems.settings.ops.kubernetes, systems.settings.ops.peek
    deployment = systems.cluster.deployment(names.deployment)
    containers = deployment["spec"]["template"]["spec"]["containers"]
    image = next((each["image"] for each in containers if each["name"] == names.container), containers[0]["image"])
    program = Path(pod_program.__file__).read_text(encoding="utf-8")
    arguments = (names.backend_store_variable, where, str(peek.port), f"{wanted.until:.0f}", peek.allowed_hosts)
    command = ("python", "-c", program, *(each for each in arguments if each))
    seconds = max(1.0, wanted.until - time.time()) + LEEWAY_SECONDS
    made = job.manifest(deployment, names.container, wanted.job, JobSpec(image, command, PURPOSE, seconds))
    made["spec"]["ttlSecondsAfterFinished"] = LEEWAY_SECONDS
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pod["automountServiceAccountToken"] = False
    pod["volumes"] = [each for each in pod.get("volumes") or () if "emptyDir" in each]
    empty = {each["name"] for each in pod["volumes"]}
    container["volumeMounts"] = [each for each in container.get("volumeMounts") or () if each["name"] in empty]
    container["readinessProbe"] = {"httpGet": {"path": "/health", "port": peek.port}, "periodSeconds": 5}
    return made
