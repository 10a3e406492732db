"""What has a say before an object is created: the namespace, the service account, limit ranges, quotas."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mlflow_ops_sandbox.cluster.api import resources as kinds
from mlflow_ops_sandbox.cluster.api.objects import Object, containers_of, is_terminating, name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.quantities import canonical_quantity, parse_quantity
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import ApiError, details_of, group_resource, not_found
from mlflow_ops_sandbox.cluster.api.store import Store


def forbidden(resource: Resource, name: str, sentence: str, causes: list[Object] | None = None) -> ApiError:
    """403: admission refuses an object."""
    message = f'{group_resource(resource)} "{name}" is forbidden: {sentence}'
    details = details_of(resource, name)
    return ApiError(403, "Forbidden", message, {**details, "causes": causes} if causes else details)


def admit(store: Store, resource: Resource, item: Object) -> None:
    """Let a new object in, editing it where defaults ask for that. Raises ApiError 403 or 404."""
    if resource.namespaced:
        _check_namespace(store, resource, item)
    if resource == kinds.PODS:
        _check_account(store, item)
        _apply_limits(store, item)
    _check_quotas(store, resource, item)


def _check_namespace(store: Store, resource: Resource, item: Object) -> None:
    namespace = namespace_of(item)
    found = store.find(kinds.NAMESPACES, "", namespace)
    if found is None:
        raise not_found(kinds.NAMESPACES, namespace)
    if is_terminating(found):
        sentence = f"unable to create new content in namespace {namespace} because it is being terminated"
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated",
                 "field": "metadata.namespace"}  # fmt: skip
        raise forbidden(resource, name_of(item), sentence, [cause])


def _check_account(store: Store, pod: Object) -> None:
    namespace, name = namespace_of(pod), pod["spec"].get("serviceAccountName", "default")
    if store.find(kinds.SERVICE_ACCOUNTS, namespace, name) is None:
        sentence = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(kinds.PODS, name_of(pod), sentence)


def _apply_limits(store: Store, pod: Object) -> None:
    problems: list[str] = []
    for limit_range in store.all(kinds.LIMIT_RANGES, namespace_of(pod)):
        for entry in limit_range["spec"].get("limits") or ():
            if entry.get("type") == "Container":
                for container in containers_of(pod):
                    _default_resources(container, entry)
                    problems += _outside(container.get("resources") or {}, entry, "Container")
            elif entry.get("type") == "Pod":
                problems += _outside(_total(pod), entry, "Pod")
    if problems:
        said = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        raise forbidden(kinds.PODS, name_of(pod), said)


def _default_resources(container: Object, entry: Object) -> None:
    resources = container.setdefault("resources", {})
    limits = {**(entry.get("default") or {}), **(resources.get("limits") or {})}
    requests = {**(entry.get("defaultRequest") or {}), **(resources.get("requests") or {})}
    for name, amount in limits.items():
        requests.setdefault(name, amount)
    if limits:
        resources["limits"] = limits
    if requests:
        resources["requests"] = requests


def _total(pod: Object) -> Object:
    summed: dict[str, dict[str, Decimal]] = {"limits": {}, "requests": {}}
    for container in containers_of(pod):
        for field, amounts in summed.items():
            for name, amount in ((container.get("resources") or {}).get(field) or {}).items():
                amounts[name] = amounts.get(name, Decimal(0)) + parse_quantity(amount)
    return {field: {name: str(amount) for name, amount in amounts.items()} for field, amounts in summed.items()}


def _outside(resources: Object, entry: Object, kind: str) -> list[str]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    found: list[str] = []
    for name, most in (entry.get("max") or {}).items():
        if name not in limits:
            found.append(f"maximum {name} usage per {kind} is {most}.  No limit is specified")
        elif parse_quantity(limits[name]) > parse_quantity(most):
            found.append(f"maximum {name} usage per {kind} is {most}, but limit is {limits[name]}")
    for name, least in (entry.get("min") or {}).items():
        if name not in requests:
            found.append(f"minimum {name} usage per {kind} is {least}.  No request is specified")
        elif parse_quantity(requests[name]) < parse_quantity(least):
            found.append(f"minimum {name} usage per {kind} is {least}, but request is {requests[name]}")
    return found


def usage_of(resource: Resource, item: Object) -> dict[str, Decimal]:
    """Return what an object counts for in quotas."""
    counted = {f"count/{group_resource(resource)}": Decimal(1)}
    if not resource.group:
        counted[resource.plural] = Decimal(1)
    if resource == kinds.PODS:
        if (item.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            return {f"count/{resource.plural}": Decimal(1)}
        total = _total(item)
        for name, amount in total["requests"].items():
            counted[name] = counted[f"requests.{name}"] = parse_quantity(amount)
        for name, amount in total["limits"].items():
            counted[f"limits.{name}"] = parse_quantity(amount)
    if resource == kinds.PERSISTENT_VOLUME_CLAIMS:
        storage = ((item["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
        counted["requests.storage"] = parse_quantity(storage)
    return counted


def used_of(store: Store, namespace: str, names: list[str]) -> dict[str, Decimal]:
    """Return how much of each name a namespace uses."""
    used = dict.fromkeys(names, Decimal(0))
    for resource in kinds.STORED:
        if resource.namespaced:
            for item in store.all(resource, namespace):
                for name, amount in usage_of(resource, item).items():
                    if name in used:
                        used[name] += amount
    return used


def _check_quotas(store: Store, resource: Resource, item: Object) -> None:
    if not resource.namespaced:
        return
    asked = usage_of(resource, item)
    for quota in store.all(kinds.RESOURCE_QUOTAS, namespace_of(item)):
        hard: dict[str, Any] = quota["spec"].get("hard") or {}
        if resource == kinds.PODS:
            _check_specified(quota, hard, item)
        names = [name for name in hard if name in asked]
        used = used_of(store, namespace_of(item), names) if names else {}
        over = [name for name in sorted(names) if used[name] + asked[name] > parse_quantity(hard[name])]
        if over:
            sentence = (
                f"exceeded quota: {name_of(quota)}, requested: {_listed(over, asked)}, used: {_listed(over, used)}, "
                f"limited: {_listed(over, {name: parse_quantity(hard[name]) for name in over}, hard)}"
            )
            raise forbidden(resource, name_of(item), sentence)


def _check_specified(quota: Object, hard: dict[str, Any], pod: Object) -> None:
    lacking: list[str] = []
    for name in sorted(hard):
        field, _, plain = name.rpartition(".")
        if plain not in {"cpu", "memory"}:
            continue
        without = [
            container["name"]
            for container in containers_of(pod)
            if plain not in ((container.get("resources") or {}).get(field or "requests") or {})
        ]
        if without:
            lacking.append(f"{name} for: {','.join(sorted(without))}")
    if lacking:
        sentence = f"failed quota: {name_of(quota)}: must specify {'; '.join(lacking)}"
        raise forbidden(kinds.PODS, name_of(pod), sentence)


def _listed(names: list[str], amounts: dict[str, Decimal], written: dict[str, Any] | None = None) -> str:
    return ",".join(f"{name}={written[name] if written else amount_text(name, amounts[name])}" for name in names)


def amount_text(name: str, amount: Decimal) -> str:
    """Write an amount in the unit that its name suggests: memory in Mi and Gi, processors in m."""
    if name.endswith(("memory", "storage")) and amount == amount.to_integral_value():
        return canonical_quantity(f"{int(amount) // 1024}Ki") if amount % 1024 == 0 else str(int(amount))
    return canonical_quantity(format(amount.normalize(), "f"))
