"""How fast things go on the node and in the controllers."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.kubelet import pod_faults


@dataclass(frozen=True, slots=True)
class Pace:
    """Periods in seconds; tests shorten them."""

    probe_period: float | None = None
    """Instead of the period that the pod's readiness probe names, and without its initial delay."""
    liveness_period: float | None = None
    """The same for the liveness probe."""
    start: float = 2.0
    """From creating a container to the first probe."""
    pull: float = 1.5
    """For an image that is not on the node yet."""
    crash_after: float = 1.5
    back_off: float = pod_faults.BACK_OFF_SECONDS
    drain: float = 1.5
    """How long a pod that is being deleted still answers, so that whoever knows its address finds another."""
    job_back_off: float = 10.0
    """Before a Job tries again for the first time."""
    resync: float = 1.0
    """How often the controllers look at the clock when nothing is written."""
