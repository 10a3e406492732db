"""What a URL asks for: group, version, namespace, kind, name, subresource, and the verb of authorisation.

The counterpart of the real server's RequestInfo. Everything behind it (authorisation, reading, later writing)
speaks of these and never of paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.resources import NAMESPACES, Resource, find_resource

_TRUE = frozenset({"1", "true", "True", "TRUE", "t", "T"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Target:
    """What one request is about."""

    verb: str
    resource: Resource
    namespace: str
    name: str
    subresource: str


def is_true(value: str | None) -> bool:
    """Read a boolean parameter as the real server does."""
    return value in _TRUE


def parse_target(method: str, path: str, query: Mapping[str, str]) -> Target | None:
    """Return what the path is about; None where it names no kind ("404 page not found")."""
    parts = [part for part in path.split("/") if part]
    if len(parts) > 2 and parts[0] == "api":  # noqa: PLR2004 - /api/v1/…
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) > 3 and parts[0] == "apis":  # noqa: PLR2004 - /apis/group/v1/…
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not _is_own_subresource(group, rest):  # noqa: PLR2004
        namespace, rest = rest[1], rest[2:]
    resource = find_resource(group, version, rest[0])
    if resource is None or len(rest) > 3 or bool(namespace) > resource.namespaced:  # noqa: PLR2004
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""  # noqa: PLR2004
    if name and resource.namespaced and not namespace:
        return None
    if subresource and resource.subresource(subresource) is None:
        return None
    return Target(_verb(method, name, query), resource, namespace, name, subresource)


def _is_own_subresource(group: str, rest: list[str]) -> bool:
    return not group and NAMESPACES.subresource(rest[2]) is not None


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method in {"GET", "HEAD"}:
        if is_true(query.get("watch")):
            return "watch"
        return "get" if name else "list"
    if method == "DELETE" and not name:
        return "deletecollection"
    return _VERBS.get(method, method.lower())
