"""What the namespace's LimitRanges say about pods that a command would make: refused before anybody approves.

A LimitRange may be newer than the pods that run, so a scale or a restart can be refused that changes no resources. Its
defaults count as if they were written (demand.py); what it bounds and nobody states is refused as well.
https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.deployment import demand
from workers.systems.cluster.quantities import quantity

if TYPE_CHECKING:
    from workers.systems import Systems

Json = dict[str, Any]

HINT: Final = "Ask for other resources (/mlflow resources), or have the LimitRange changed first."
_EVERY: Final = ("containers", "initContainers")


def require_within(systems: Systems, pod_spec: Json) -> None:
    """Raise OperatorError if a LimitRange would refuse such a pod; nothing if they cannot be listed."""
    try:
        ranges = systems.cluster.limit_ranges()
    except OperatorError:
        return
    for refused in refusals(pod_spec, ranges):
        raise OperatorError(refused, HINT)


def refusals(pod_spec: Json, ranges: list[Json]) -> Iterator[str]:
    """Why such a pod would be refused, a sentence each."""
    every = [each for field in _EVERY for each in pod_spec.get(field) or ()]
    whole = demand.of_pod(pod_spec, ranges)
    each_of_them = [(str(each["name"]), demand.of_container(each, ranges)) for each in every]
    for found in ranges:
        named = f"LimitRange {found['metadata']['name']}"
        for limit in (found.get("spec") or {}).get("limits") or ():
            if limit.get("type") == "Container":
                for name, amounts in each_of_them:
                    yield from _outside(named, limit, f"the container {name}", amounts)
            elif limit.get("type") == "Pod":
                yield from _outside(named, limit, "a pod", whole)


def _outside(named: str, limit: Json, who: str, amounts: demand.Amounts) -> Iterator[str]:
    for resource, said in (limit.get("max") or {}).items():
        told = f"{named} allows {said} of {resource} at most"
        if f"limits.{resource}" not in amounts:
            yield f"{told}, and {who} has no limit."
        for side, given in _sides(resource, amounts):
            if given > quantity(str(said)):
                yield f"{told}, not {demand.written(f'{side}.{resource}', given)} ({who}, {side[:-1]})."
    for resource, said in (limit.get("min") or {}).items():
        told = f"{named} wants {said} of {resource} at least"
        if f"requests.{resource}" not in amounts:
            yield f"{told}, and {who} requests none."
        for side, given in _sides(resource, amounts):
            if given < quantity(str(said)):
                yield f"{told}, not {demand.written(f'{side}.{resource}', given)} ({who}, {side[:-1]})."
    for resource, said in (limit.get("maxLimitRequestRatio") or {}).items():
        yield from _far_above(f"{named} allows a {resource} limit of {said} times its request at most", resource, who,
                              quantity(str(said)), amounts)  # fmt: skip


def _sides(resource: str, amounts: demand.Amounts) -> Iterator[tuple[str, Decimal]]:
    for side in demand.KINDS:
        if f"{side}.{resource}" in amounts:
            yield side, amounts[f"{side}.{resource}"]


def _far_above(told: str, resource: str, who: str, ratio: Decimal, amounts: demand.Amounts) -> Iterator[str]:
    request, limit = (amounts.get(f"{side}.{resource}", demand.NOTHING) for side in demand.KINDS)
    if not (request and limit):
        yield f"{told}, and {who} has no {'limit' if request else 'request'}."
    elif limit > ratio * request:
        yield f"{told}, not {demand.written(f'limits.{resource}', limit)} ({who})."
