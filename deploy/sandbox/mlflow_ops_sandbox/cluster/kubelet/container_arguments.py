"""What MLflow's own command line refuses when the container starts: here, a number of workers that is none."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.kubelet.container_environment import expand
from mlflow_ops_sandbox.cluster.kubelet.pod_faults import Crash

_WORKERS = "--workers"


def refused(container: Object, environment: Mapping[str, str]) -> Crash | None:
    """Return how `mlflow server` ends over its arguments, None where it takes them."""
    arguments = [expand(str(each), dict(environment)) for each in container.get("args") or ()]
    if _WORKERS not in arguments[:-1]:
        return None
    workers = arguments[arguments.index(_WORKERS) + 1]
    if workers.strip().isdecimal():
        return None
    usage = "Usage: mlflow server [OPTIONS]", "Try 'mlflow server --help' for help.", ""
    return Crash("Error", 2, (*usage, f"Error: Invalid value for '--workers': '{workers}' is not a valid integer."))
