"""The annotations that Kubernetes' own tools write, how they write a time, and our own label."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

REVISION: Final = "deployment.kubernetes.io/revision"
"""A Deployment's or a ReplicaSet's, by the deployment controller."""
RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"
"""A pod template's, by `kubectl rollout restart`: another value is another template."""
PURPOSE: Final = "mlflow-ops/purpose"
"""The label of what we make in the cluster: what for."""


def timestamp() -> str:
    """Now, in seconds, as RFC 3339 has it and metav1.Time is written."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
