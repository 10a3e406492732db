"""LimitRanges: what they fill into new pods, and between which bounds pods and claims must lie.

All that one LimitRange finds is told together; the first that finds something ends it.
Source: plugin/pkg/admission/limitranger of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from mlflow_ops_sandbox.cluster.api.objects import Object, containers_of, namespace_of
from mlflow_ops_sandbox.cluster.api.pod_resources import LIMITS, REQUESTS, amounts_of, every_container, total
from mlflow_ops_sandbox.cluster.api.quantities import amount_text, parse_quantity
from mlflow_ops_sandbox.cluster.api.resources import LIMIT_RANGES, PERSISTENT_VOLUME_CLAIMS, PODS, Resource
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.apiserver.admission.refusals import forbidden

_ANNOTATION = "kubernetes.io/limit-ranger"
_Amounts = dict[str, Decimal]


def fill_in(store: Store, pod: Object) -> None:
    """Give a new pod the limits and requests that it leaves open; ``pod`` is edited and tells what was set."""
    for limit_range in store.all(LIMIT_RANGES, namespace_of(pod)):
        given: dict[str, Object] = {LIMITS: {}, REQUESTS: {}}
        for entry in _entries(limit_range, "Container"):
            given[LIMITS] |= entry.get("default") or {}
            given[REQUESTS] |= entry.get("defaultRequest") or {}
        said: list[str] = []
        for kind, containers in (
            ("container", containers_of(pod)),
            ("init container", pod["spec"].get("initContainers") or ()),
        ):
            for container in containers:
                for field in (REQUESTS, LIMITS):
                    names = _fill(container, field, given[field])
                    if names:
                        said.append(f"{', '.join(names)} {field[:-1]} for {kind} {container['name']}")
        if said:
            annotations = pod["metadata"].get("annotations") or {}
            told = f"LimitRanger plugin set: {'; '.join(said)}"
            pod["metadata"]["annotations"] = {**annotations, _ANNOTATION: told}


def check(store: Store, resource: Resource, item: Object) -> None:
    """Check a new pod or claim. Raises ApiError 403."""
    if resource not in {PODS, PERSISTENT_VOLUME_CLAIMS}:
        return
    for limit_range in store.all(LIMIT_RANGES, namespace_of(item)):
        problems = list(_of_pod(limit_range, item) if resource == PODS else _of_claim(limit_range, item))
        if problems:
            said = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
            raise forbidden(resource, item, said)


def _entries(limit_range: Object, kind: str) -> list[Object]:
    return [entry for entry in limit_range["spec"].get("limits") or () if entry.get("type") == kind]


def _fill(container: Object, field: str, given: Object) -> list[str]:
    resources = container.setdefault("resources", {})
    own = resources.get(field) or {}
    added = sorted(name for name in given if name not in own)
    if added:
        resources[field] = {**own, **{name: given[name] for name in added}}
    return added


def _of_pod(limit_range: Object, pod: Object) -> Iterator[str]:
    for entry in limit_range["spec"].get("limits") or ():
        kind = entry.get("type")
        if kind == "Container":
            for container in every_container(pod):
                yield from _outside(entry, kind, amounts_of(container, REQUESTS), amounts_of(container, LIMITS))
        elif kind == "Pod":
            yield from _outside(entry, kind, total(pod, REQUESTS), total(pod, LIMITS))


def _of_claim(limit_range: Object, claim: Object) -> Iterator[str]:
    asked = amounts_of(claim["spec"], REQUESTS)
    for entry in _entries(limit_range, "PersistentVolumeClaim"):
        yield from _below(entry, "PersistentVolumeClaim", asked, {})
        for name, most in (entry.get("max") or {}).items():
            start = f"maximum {name} usage per PersistentVolumeClaim is {most}"
            if name not in asked:
                yield f"{start}.  No request is specified"
            elif asked[name] > parse_quantity(most):
                yield f"{start}, but request is {amount_text(name, asked[name])}"


def _outside(entry: Object, kind: str, requests: _Amounts, limits: _Amounts) -> Iterator[str]:
    yield from _below(entry, kind, requests, limits)
    for name, most in (entry.get("max") or {}).items():
        start, bound = f"maximum {name} usage per {kind} is {most}", parse_quantity(most)
        if name not in limits:
            yield f"{start}.  No limit is specified"
        elif limits[name] > bound:
            yield f"{start}, but limit is {amount_text(name, limits[name])}"
        elif requests.get(name, Decimal(0)) > bound:
            yield f"{start}, but request is {amount_text(name, requests[name])}"
    for name, most in (entry.get("maxLimitRequestRatio") or {}).items():
        start = f"{name} max limit to request ratio per {kind} is {most}, but"
        if not requests.get(name):
            yield f"{start} no request is specified or request is 0"
        elif not limits.get(name):
            yield f"{start} no limit is specified or limit is 0"
        elif (ratio := limits[name] / requests[name]) > parse_quantity(most):
            yield f"{start} provided ratio is {ratio:.6f}"


def _below(entry: Object, kind: str, requests: _Amounts, limits: _Amounts) -> Iterator[str]:
    for name, least in (entry.get("min") or {}).items():
        start, bound = f"minimum {name} usage per {kind} is {least}", parse_quantity(least)
        if name not in requests:
            yield f"{start}.  No request is specified"
        elif requests[name] < bound:
            yield f"{start}, but request is {amount_text(name, requests[name])}"
        elif name in limits and limits[name] < bound:
            yield f"{start}, but limit is {amount_text(name, limits[name])}"
