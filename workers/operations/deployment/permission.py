"""May our account do what is planned? Asked before anybody approves it, and before a first step is done in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.errors import OperatorError

if TYPE_CHECKING:
    from workers.systems import Systems


def require(systems: Systems, verb: str, group: str, resource: str, name: str) -> None:
    """Raise OperatorError, naming the verb, where our account may not. resource: as in a Role ("deployments/scale")."""
    if not systems.cluster.may(verb, group, resource, name):
        message = f"Our account may not {verb} {resource} ({name}) in {systems.settings.ops.kubernetes.namespace}."
        raise OperatorError(message, f"Give its Role the verb {verb} (deploy/kubernetes has the Role).")


def require_deployment(systems: Systems) -> None:
    """Raise OperatorError where our account may not change the pods' template."""
    require(systems, "patch", "apps", "deployments", systems.settings.ops.kubernetes.deployment)
