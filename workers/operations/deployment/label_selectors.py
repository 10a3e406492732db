"""Whether labels fit a selector, as Kubernetes decides it for Services, budgets, affinities and nodes.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]


def fits(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether these labels fit a LabelSelector: an empty one fits all, none fits nothing."""
    if selector is None:
        return False
    same = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return same and all_fit(selector.get("matchExpressions") or (), labels)


def all_fit(expressions: Iterable[Json], labels: Mapping[str, str]) -> bool:
    """Whether these labels fit each of the expressions, those of node selectors included."""
    return all(_fits(each, labels) for each in expressions)


def _fits(expression: Json, labels: Mapping[str, str]) -> bool:
    value, wanted = labels.get(str(expression.get("key"))), [str(each) for each in expression.get("values") or ()]
    number = int(value) if value is not None and value.isdecimal() else None
    holds = {
        "In": value in wanted,
        "NotIn": value not in wanted,
        "Exists": value is not None,
        "DoesNotExist": value is None,
        "Gt": number is not None and any(number > int(each) for each in wanted if each.isdecimal()),
        "Lt": number is not None and any(number < int(each) for each in wanted if each.isdecimal()),
    }
    return holds.get(str(expression.get("operator")), False)
