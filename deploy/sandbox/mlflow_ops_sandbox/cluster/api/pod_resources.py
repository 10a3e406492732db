"""What a pod asks for as a whole: what scheduler, limit ranges, quotas and autoscalers count.

Containers and sidecars (init containers that restart for ever) run at the same time and are added up; an ordinary
init container runs before them, so only the highest of these counts, and only where it is above the sum.
Source: k8s.io/component-helpers/resource, PodRequests and PodLimits.
"""

from __future__ import annotations

from decimal import Decimal

from mlflow_ops_sandbox.cluster.api.objects import Object, containers_of
from mlflow_ops_sandbox.cluster.api.quantities import parse_quantity

REQUESTS, LIMITS = "requests", "limits"


def every_container(pod: Object) -> list[Object]:
    """Return the containers of a pod in the order in which it lists them, then its init containers."""
    return [*containers_of(pod), *(pod["spec"].get("initContainers") or ())]


def amounts_of(container: Object, field: str) -> dict[str, Decimal]:
    """Return what one container asks for, by the name of the resource. field: REQUESTS or LIMITS."""
    given = (container.get("resources") or {}).get(field) or {}
    return {name: parse_quantity(amount) for name, amount in given.items()}


def total(pod: Object, field: str) -> dict[str, Decimal]:
    """Return what a pod asks for in all, by the name of the resource. field: REQUESTS or LIMITS."""
    together: dict[str, Decimal] = {}
    highest: dict[str, Decimal] = {}
    sidecars: dict[str, Decimal] = {}
    for container in containers_of(pod):
        _add(together, amounts_of(container, field))
    for container in pod["spec"].get("initContainers") or ():
        amounts = amounts_of(container, field)
        if container.get("restartPolicy") == "Always":
            _add(together, amounts)
            _add(sidecars, amounts)
            amounts = {}
        for name in {*amounts, *sidecars}:
            peak = amounts.get(name, Decimal(0)) + sidecars.get(name, Decimal(0))
            highest[name] = max(highest.get(name, Decimal(0)), peak)
    nothing = Decimal(0)
    return {name: max(together.get(name, nothing), highest.get(name, nothing)) for name in {**together, **highest}}


def _add(sums: dict[str, Decimal], amounts: dict[str, Decimal]) -> None:
    for name, amount in amounts.items():
        sums[name] = sums.get(name, Decimal(0)) + amount
