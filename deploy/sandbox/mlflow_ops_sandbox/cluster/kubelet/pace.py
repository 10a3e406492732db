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
    sync: float = 0.3
    """How long it takes at most until a controller sees a changed spec; until then status and conditions are those of
    before."""
    seed: int | None = None
    """Draws how long it takes, from nothing to ``sync``, anew for each change; without one it is always ``sync``."""
    retry: float = 1000.0
    """The longest pause before a controller tries again to make a pod that was refused; the first is 5 ms, and it
    doubles. What changes at the controller's own objects makes it look at once; a quota that is raised does not."""
    autoscale: float = 15.0
    """How often autoscalers look."""
    downscale: float = 300.0
    """How long an autoscaler that names no window of its own waits until it follows a lower figure."""
