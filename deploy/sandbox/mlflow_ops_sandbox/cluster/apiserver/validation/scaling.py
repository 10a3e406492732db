"""The rules by which autoscalers scale, and the scopes of quotas."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.quota_scopes import PRIORITY_CLASS, SCOPES
from mlflow_ops_sandbox.cluster.apiserver.validation.problems import Problems

_LONGEST_WINDOW: Final = 3600
_LONGEST_PERIOD: Final = 1800
_CONFLICTS: Final = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_PODS_ALONE: Final = "unsupported scope applied to resource"
_LISTED: Final = ("In", "NotIn")
_OPERATORS: Final = ("DoesNotExist", "Exists", *_LISTED)
_COMPUTE: Final = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
_OTHERS: Final = frozenset(
    {"configmaps", "persistentvolumeclaims", "replicationcontrollers", "requests.storage", "resourcequotas", "secrets",
     "services", "services.loadbalancers", "services.nodeports"}
)  # fmt: skip


def check_behavior(behavior: Object | None, problems: Problems) -> None:
    """Check both sides of an autoscaler's behavior."""
    for side, rules in (behavior or {}).items():
        here = f"spec.behavior.{side}"
        window = rules.get("stabilizationWindowSeconds")
        if window is not None:
            _within(f"{here}.stabilizationWindowSeconds", window, 0, _LONGEST_WINDOW, problems)
        problems.one_of(f"{here}.selectPolicy", rules.get("selectPolicy"), "Disabled", "Max", "Min")
        if not rules.get("policies"):
            problems.required(f"{here}.policies", "must specify at least one Policy")
        for index, policy in enumerate(rules.get("policies") or ()):
            _check_policy(policy, f"{here}.policies[{index}]", problems)


def _check_policy(policy: Object, here: str, problems: Problems) -> None:
    problems.one_of(f"{here}.type", policy.get("type", ""), "Percent", "Pods")
    if policy.get("value", 0) <= 0:
        problems.invalid(f"{here}.value", policy.get("value", 0), "must be greater than zero")
    period = policy.get("periodSeconds", 0)
    if period <= 0:
        problems.invalid(f"{here}.periodSeconds", period, "must be greater than zero")
    _within(f"{here}.periodSeconds", period, 0, _LONGEST_PERIOD, problems)


def _within(path: str, value: int, least: int, most: int, problems: Problems) -> None:
    if value < least:
        problems.invalid(path, value, "must be greater than or equal to zero")
    if value > most:
        problems.invalid(path, value, f"must be less than or equal to {most}")


def check_scopes(spec: Object, problems: Problems) -> None:
    """Check the scopes of a quota, and that its limits are such as they can be about."""
    hard = spec.get("hard") or {}
    scopes = list(spec.get("scopes") or ())
    _check_names("spec.scopes", scopes, scopes, hard, problems)
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    path = "spec.scopeSelector.matchExpressions"
    for expression in expressions:
        _check_expression(path, expression, problems)
    _check_names(path, [each.get("scopeName") for each in expressions], expressions, hard, problems)


def _check_names(path: str, names: list[Any], value: Any, hard: Object, problems: Problems) -> None:
    for name in names:
        if name not in SCOPES:
            problems.invalid(path, value, "unsupported scope")
            continue
        # BestEffort has no amounts to be limited; the other objects of a namespace have no scope.
        refused = _OTHERS | (_COMPUTE if name == "BestEffort" else frozenset())
        for _ in sorted(refused & hard.keys()):
            problems.invalid(path, value, _PODS_ALONE)
    for one, other in combinations(sorted(set(map(str, names))), 2):
        if {one, other} in _CONFLICTS:
            problems.invalid(path, value, "conflicting scopes")


def _check_expression(path: str, expression: Object, problems: Problems) -> None:
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    if expression.get("scopeName") != PRIORITY_CLASS and operator != "Exists":
        sentence = (
            "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
            "ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        problems.invalid(f"{path}.operator", operator, sentence)
    if operator in _LISTED and not values:
        problems.required(
            f"{path}.values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        )
    elif operator in {"Exists", "DoesNotExist"} and values:
        problems.invalid(
            f"{path}.values",
            values,
            "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector",
        )
    elif operator not in _OPERATORS:
        problems.invalid(f"{path}.operator", operator, "not a valid selector operator")
