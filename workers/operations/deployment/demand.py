"""What a pod asks for, as the API server counts it: all containers and sidecars, with the namespace's defaults.

https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers: containers and
sidecars (init containers that always restart) are added up; an init container counts with the sidecars before it, if
that is more. https://kubernetes.io/docs/concepts/policy/limit-range/: what a container leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from workers.systems.cluster.quantities import quantity
from workers.wording import size

Json = dict[str, Any]
Amounts = dict[str, Decimal]
"""By the name that a ResourceQuota has for it: requests.cpu, limits.memory, pods."""

KINDS: Final = ("requests", "limits")
NOTHING: Final = Decimal(0)


def of_pod(pod_spec: Json, limit_ranges: Sequence[Json] = ()) -> Amounts:
    """What one pod with this spec takes of a quota."""
    total: Amounts = {}
    for container in pod_spec.get("containers") or ():
        total = _sum(total, of_container(container, limit_ranges))
    beside: Amounts = {}
    first: Amounts = {}
    for container in pod_spec.get("initContainers") or ():
        own = of_container(container, limit_ranges)
        if container.get("restartPolicy") == "Always":
            beside = _sum(beside, own)
            first = _most(first, beside)
        else:
            first = _most(first, _sum(beside, own))
    total = _most(_sum(total, beside), first)
    overhead = {f"{kind}.{name}": quantity(str(value)) for kind in KINDS for name, value in _overhead(pod_spec)}
    return {**_sum(total, {key: value for key, value in overhead.items() if key in total}), "pods": Decimal(1)}


def of_container(container: Json, limit_ranges: Sequence[Json] = ()) -> Amounts:
    """Its requests and limits; a request that it leaves out is its limit, unless the namespace has a default."""
    defaults = _defaults(limit_ranges)
    given = container.get("resources") or {}
    limits = {**defaults.get("default", {}), **(given.get("limits") or {})}
    stated = {**(given.get("limits") or {}), **(given.get("requests") or {})}
    requests = {**defaults.get("defaultRequest", {}), **stated}
    sides = (("requests", requests), ("limits", limits))
    return {f"{kind}.{name}": quantity(str(value)) for kind, values in sides for name, value in values.items()}


def unstated(pod_spec: Json, key: str, limit_ranges: Sequence[Json] = ()) -> list[str]:
    """The containers that don't state an amount, which a quota of it requires of every one."""
    every = [*(pod_spec.get("initContainers") or ()), *(pod_spec.get("containers") or ())]
    return [str(each["name"]) for each in every if key not in of_container(each, limit_ranges)]


def written(key: str, value: Decimal) -> str:
    """An amount as Kubernetes writes it, near enough to be compared: 500m CPUs, bytes in binary units."""
    if key.endswith((".memory", "storage")):
        return size(float(value))
    if key.endswith(".cpu") and value % 1:
        return f"{value * 1000:.0f}m"
    return f"{value:f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def _defaults(limit_ranges: Sequence[Json]) -> Json:
    """What the LimitRanges give a container that says nothing: a maximum alone is the default limit, that the default
    request, and a minimum alone is a request.
    """
    found: dict[str, Json] = {"default": {}, "defaultRequest": {}}
    for each in limit_ranges:
        for limit in (each.get("spec") or {}).get("limits") or ():
            if limit.get("type") == "Container":
                default = {**(limit.get("max") or {}), **(limit.get("default") or {})}
                found["default"] |= default
                found["defaultRequest"] |= {
                    **(limit.get("min") or {}),
                    **default,
                    **(limit.get("defaultRequest") or {}),
                }
    return found


def _overhead(pod_spec: Json) -> list[tuple[str, Any]]:
    return list((pod_spec.get("overhead") or {}).items())


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return {key: one.get(key, NOTHING) + other.get(key, NOTHING) for key in {**one, **other}}


def _most(one: Amounts, other: Amounts) -> Amounts:
    return {key: max(one.get(key, NOTHING), other.get(key, NOTHING)) for key in {**one, **other}}
