"""Who may do what: RBAC over the roles and bindings in the store, and the reviews that ask about it.

Members of system:masters may do everything without a look at roles, as in a real cluster. Every request passes
through ``Authorizer.require``; the sentence of a refusal is the real one, because people search for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.objects import Object, name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.requests import Target
from mlflow_ops_sandbox.cluster.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.apiserver.identity import MASTERS, User


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do: with a resource, or with a path that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """Return ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is allowed, and by which binding."""

    allowed: bool
    reason: str = ""


def attributes_of(target: Target) -> Attributes:
    """Return what a request to a resource wants."""
    return Attributes(
        target.verb,
        target.resource.group,
        target.resource.plural,
        target.subresource,
        _namespace(target),
        target.name,
    )


def _namespace(target: Target) -> str:
    # A namespace is itself within its namespace: a Role in "a" may grant "get namespaces/a".
    return target.name if target.resource.kind == "Namespace" else target.namespace


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Decides by the roles in the store."""

    store: Store

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """Say whether the user may."""
        if MASTERS in user.groups:
            return Decision(allowed=True)
        for rules, why in self._grants(user, wanted.namespace):
            if any(_covers(rule, wanted) for rule in rules):
                return Decision(allowed=True, reason=why)
        return Decision(allowed=False)

    def require(self, user: User, wanted: Attributes) -> None:
        """Raise ApiError 403 unless the user may."""
        if not self.decide(user, wanted).allowed:
            raise _forbidden(user, wanted)

    def rules_for(self, user: User, namespace: str) -> list[Object]:
        """Return all rules that apply to the user in a namespace."""
        if MASTERS in user.groups:
            every = ["*"]
            return [
                {"apiGroups": every, "resources": every, "verbs": every},
                {"nonResourceURLs": every, "verbs": every},
            ]
        return [rule for rules, _ in self._grants(user, namespace) for rule in rules]

    def _grants(self, user: User, namespace: str) -> Iterator[tuple[list[Object], str]]:
        for binding in self.store.all(CLUSTER_ROLE_BINDINGS):
            subject = _subject(binding, user)
            if subject:
                why = f'RBAC: allowed by ClusterRoleBinding "{name_of(binding)}" of {_role(binding)} to {subject}'
                yield self._rules(binding, ""), why
        if not namespace:
            return
        for binding in self.store.all(ROLE_BINDINGS, namespace):
            subject = _subject(binding, user)
            if subject:
                name = f"{name_of(binding)}/{namespace}"
                yield (
                    self._rules(binding, namespace),
                    f'RBAC: allowed by RoleBinding "{name}" of {_role(binding)} to {subject}',
                )

    def _rules(self, binding: Object, namespace: str) -> list[Object]:
        reference = binding["roleRef"]
        resource, where = (CLUSTER_ROLES, "") if reference["kind"] == "ClusterRole" else (ROLES, namespace)
        role = self.store.find(resource, where, reference["name"])
        return list((role or {}).get("rules") or [])


def _role(binding: Object) -> str:
    return f'{binding["roleRef"]["kind"]} "{binding["roleRef"]["name"]}"'


def _subject(binding: Object, user: User) -> str:
    for subject in binding.get("subjects") or ():
        kind, name = subject["kind"], subject["name"]
        if kind == "User" and name == user.name:
            return f'User "{name}"'
        if kind == "Group" and name in user.groups:
            return f'Group "{name}"'
        where = subject.get("namespace") or namespace_of(binding)
        if kind == "ServiceAccount" and user.service_account == (where, name):
            return f'ServiceAccount "{name}/{where}"'
    return ""


def _covers(rule: Object, wanted: Attributes) -> bool:
    if not _listed(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return any(
            wanted.path == path or (path.endswith("*") and wanted.path.startswith(path[:-1]))
            for path in rule.get("nonResourceURLs") or ()
        )
    names = rule.get("resourceNames")
    return (
        _listed(rule.get("apiGroups"), wanted.group)
        and (
            _listed(rule.get("resources"), wanted.full_resource)
            or (bool(wanted.subresource) and f"*/{wanted.subresource}" in (rule.get("resources") or ()))
        )
        and (not names or wanted.name in names)
    )


def _listed(values: list[str] | None, wanted: str) -> bool:
    return bool(values) and ("*" in (values or ()) or wanted in (values or ()))


def _forbidden(user: User, wanted: Attributes) -> ApiError:
    if wanted.path:
        message = f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
        return ApiError(403, "Forbidden", message, {})
    about = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    if wanted.name:
        about += f' "{wanted.name}"'
    scope = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    message = (
        f'{about} is forbidden: User "{user.name}" cannot {wanted.verb} resource "{wanted.full_resource}" '
        f'in API group "{wanted.group}" {scope}'
    )
    details: Object = {"name": wanted.name} if wanted.name else {}
    if wanted.group:
        details["group"] = wanted.group
    details["kind"] = wanted.resource
    return ApiError(403, "Forbidden", message, details)
