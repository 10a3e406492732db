"""ResourceQuotas: what an object counts for, what a namespace uses, and what goes beyond a limit.

Source: plugin/pkg/admission/resourcequota and pkg/quota/v1/evaluator/core of Kubernetes. What is used is counted anew
at each look, so it is never behind; a real server reads it from the quota's status.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from mlflow_ops_sandbox.cluster.api import quota_scopes
from mlflow_ops_sandbox.cluster.api import resources as kinds
from mlflow_ops_sandbox.cluster.api.objects import Object, name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.ownership import has_ended
from mlflow_ops_sandbox.cluster.api.pod_resources import LIMITS, REQUESTS, amounts_of, every_container, total
from mlflow_ops_sandbox.cluster.api.quantities import amount_text, parse_quantity
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import group_resource
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import from_rfc3339
from mlflow_ops_sandbox.cluster.apiserver.admission.refusals import forbidden


def check(store: Store, resource: Resource, item: Object, now: datetime) -> None:
    """Check a new object against the quotas of its namespace. Raises ApiError 403."""
    asked = usage_of(resource, item, now)
    for quota in store.all(kinds.RESOURCE_QUOTAS, namespace_of(item)):
        hard: dict[str, Any] = quota["spec"].get("hard") or {}
        names = [name for name in hard if name in asked]
        if not quota_scopes.counts(quota, resource, item):
            continue
        if resource == kinds.PODS:
            _check_specified(quota, hard, item)
        used = used_of(store, quota, names, now) if names else {}
        over = [name for name in sorted(names) if used[name] + asked[name] > parse_quantity(hard[name])]
        if over:
            limited = ",".join(f"{name}={hard[name]}" for name in over)
            sentence = (
                f"exceeded quota: {name_of(quota)}, requested: {_listed(over, asked)}, used: {_listed(over, used)}, "
                f"limited: {limited}"
            )
            raise forbidden(resource, item, sentence)


def usage_of(resource: Resource, item: Object, now: datetime) -> dict[str, Decimal]:
    """Return what an object counts for in quotas at this moment."""
    counted = {f"count/{group_resource(resource)}": Decimal(1)}
    if resource == kinds.PODS:
        if has_ended(item) or _is_overdue(item, now):
            return counted
        for name, amount in total(item, REQUESTS).items():
            counted[name] = counted[f"requests.{name}"] = amount
        for name, amount in total(item, LIMITS).items():
            counted[f"limits.{name}"] = amount
    if not resource.group:
        counted[resource.plural] = Decimal(1)
    if resource == kinds.PERSISTENT_VOLUME_CLAIMS:
        counted["requests.storage"] = amounts_of(item["spec"], REQUESTS).get("storage", Decimal(0))
    return counted


def used_of(store: Store, quota: Object, names: list[str], now: datetime) -> dict[str, Decimal]:
    """Return how much of each name is used at this moment of what the quota counts in its namespace."""
    used = dict.fromkeys(names, Decimal(0))
    for resource in kinds.STORED:
        if resource.namespaced:
            for item in store.all(resource, namespace_of(quota)):
                if quota_scopes.counts(quota, resource, item):
                    for name, amount in usage_of(resource, item, now).items():
                        if name in used:
                            used[name] += amount
    return used


def _is_overdue(pod: Object, now: datetime) -> bool:
    """Say whether a pod should long have ended, as on a node that is lost: it is charged to nobody."""
    end, grace = (pod["metadata"].get(key) for key in ("deletionTimestamp", "deletionGracePeriodSeconds"))
    return bool(end) and grace is not None and from_rfc3339(end) + timedelta(seconds=int(grace)) < now


def _check_specified(quota: Object, hard: dict[str, Any], pod: Object) -> None:
    lacking: list[str] = []
    for name in sorted(hard):
        field, _, plain = name.rpartition(".")
        if plain not in {"cpu", "memory"}:
            continue
        without = [
            container["name"]
            for container in every_container(pod)
            if plain not in amounts_of(container, field or REQUESTS)
        ]
        if without:
            lacking.append(f"{name} for: {','.join(sorted(without))}")
    if lacking:
        raise forbidden(kinds.PODS, pod, f"failed quota: {name_of(quota)}: must specify {'; '.join(lacking)}")


def _listed(names: list[str], amounts: dict[str, Decimal]) -> str:
    return ",".join(f"{name}={amount_text(name, amounts[name])}" for name in names)
