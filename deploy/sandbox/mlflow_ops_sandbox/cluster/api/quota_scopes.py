"""Which pods a ResourceQuota with scopes counts; without any it counts every object of its namespace.

Trap: a quota with scopes counts pods alone, whatever else its limits name; and a class of priority that a pod does not
have is "not in" every list.
Source: pkg/quota/v1/evaluator/core/pods.go (podMatchesScopeFunc) and pkg/quota/v1/generic/evaluator.go of Kubernetes.
"""

from __future__ import annotations

from typing import Final

from mlflow_ops_sandbox.cluster.api import resources as kinds
from mlflow_ops_sandbox.cluster.api.defaulting import quality_of_service
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import Resource

SCOPES: Final = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
)  # fmt: skip
PRIORITY_CLASS: Final = "PriorityClass"
_AFFINITIES: Final = ("podAffinity", "podAntiAffinity")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"


def counts(quota: Object, resource: Resource, item: Object) -> bool:
    """Say whether a quota is about an object at all."""
    expressions = expressions_of(quota)
    if not expressions:
        return True
    return resource == kinds.PODS and all(_matches(expression, item["spec"]) for expression in expressions)


def expressions_of(quota: Object) -> list[Object]:
    """Return its scopes, those without an operator as ones that must be."""
    spec = quota["spec"]
    plain = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    return [*plain, *((spec.get("scopeSelector") or {}).get("matchExpressions") or ())]


def _matches(expression: Object, spec: Object) -> bool:
    scope = expression["scopeName"]
    if scope == PRIORITY_CLASS:
        return _has_class(expression, str(spec.get("priorityClassName") or ""))
    best_effort = quality_of_service(spec) == "BestEffort"
    terminating = spec.get("activeDeadlineSeconds") is not None
    holds = {
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "Terminating": terminating,
        "NotTerminating": not terminating,
        "CrossNamespacePodAffinity": _looks_into_other_namespaces(spec),
    }
    return holds[scope]


def _has_class(expression: Object, name: str) -> bool:
    among = name in (expression.get("values") or ())
    return {"Exists": bool(name), "DoesNotExist": not name, "In": among, "NotIn": not among}[expression["operator"]]


def _looks_into_other_namespaces(spec: Object) -> bool:
    affinities = [(spec.get("affinity") or {}).get(kind) or {} for kind in _AFFINITIES]
    terms = [term for each in affinities for term in each.get(_REQUIRED) or ()]
    terms += [each["podAffinityTerm"] for found in affinities for each in found.get(_PREFERRED) or ()]
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)
