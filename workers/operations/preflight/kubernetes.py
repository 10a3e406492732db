"""Kubernetes: each permission that a command needs, asked one by one of the API server itself.

https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-access-review-v1/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from workers.operations.health.questions import Answer, Question
from workers.report import Status, Table
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import KubernetesNames, Settings


@dataclass(frozen=True)
class Permission:
    """A verb on a resource (with its subresource), and the commands that need it. name: of one object only."""

    verb: str
    group: str
    resource: str
    needed_for: str
    name: Callable[[KubernetesNames], str] = lambda _names: ""
    everywhere: bool = False

    @property
    def kind(self) -> str:
        """As kubectl writes it: deployments.apps."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


NEEDED: Final = (
    Permission("list", "", "pods", "health"),
    Permission("get", "", "pods/log", "health"),
    Permission("list", "", "services", "health"),
    Permission("list", "discovery.k8s.io", "endpointslices", "health"),
    Permission("get", "networking.k8s.io", "ingresses", "health", lambda names: names.ingress),
    Permission("get", "", "secrets", "health: the TLS certificate", lambda names: names.tls_secret),
    Permission("list", "", "events", "health"),
    Permission("list", "metrics.k8s.io", "pods", "health: resource use"),
    Permission("list", "batch", "cronjobs", "backup"),
    Permission("get", "apps", "deployments", "health, scale, restart", lambda names: names.deployment),
    Permission("patch", "apps", "deployments", "restart, update, resources, rollback", lambda names: names.deployment),
    Permission("list", "apps", "replicasets", "history, rollback"),
    Permission("get", "apps", "deployments/scale", "scale", lambda names: names.deployment),
    Permission("update", "apps", "deployments/scale", "scale", lambda names: names.deployment),
    Permission("list", "autoscaling", "horizontalpodautoscalers", "scale: what else changes the number"),
    Permission("list", "policy", "poddisruptionbudgets", "scale, backup"),
    Permission("list", "", "limitranges", "resources: what is allowed"),
    Permission("list", "", "resourcequotas", "resources: what is allowed"),
    Permission("list", "", "persistentvolumeclaims", "scale, restart, update: what only one node's pods can have"),
    Permission("create", "batch", "jobs", "update, runs purge"),
    Permission("get", "batch", "jobs", "update, runs purge"),
    Permission("delete", "batch", "jobs", "update, runs purge"),
    Permission("get", "", "configmaps", "config, backup", lambda names: names.configmap),
    Permission("patch", "", "configmaps", "config set, config unset", lambda names: names.configmap),
    Permission("get", "", "secrets", "config show, backup", lambda names: names.secret),
    Permission("list", "cert-manager.io", "certificates", "cert renew, backup"),
    Permission("update", "cert-manager.io", "certificates/status", "cert renew"),
    Permission("list", "apps", "deployments", "status, describe"),
    Permission("list", "apps", "statefulsets", "status"),
    Permission("list", "apps", "daemonsets", "status"),
    Permission("list", "batch", "jobs", "status"),
    Permission("list", "networking.k8s.io", "ingresses", "status"),
)
HELPFUL: Final = (
    Permission("list", "", "nodes", "scale, resources: room on the nodes", everywhere=True),
    Permission("list", "", "pods", "scale, resources: room on the nodes", everywhere=True),
)
"""What we can do without: of the whole cluster, so that it may have been left out on purpose."""

_RECOVERY: Final = "restore config, recover"
FOR_RECOVERY: Final = (
    Permission("create", "", "configmaps", _RECOVERY),
    Permission("get", "", "configmaps", _RECOVERY, lambda names: names.configmap),
    Permission("update", "", "configmaps", _RECOVERY, lambda names: names.configmap),
    Permission("create", "", "secrets", _RECOVERY),
    *(
        Permission(verb, "", "secrets", _RECOVERY, name)
        for verb in ("get", "update")
        for name in (lambda names: names.secret, lambda names: names.tls_secret)
    ),
    *(
        permission
        for group, resource, name in (
            ("", "services", lambda names: names.service),
            ("apps", "deployments", lambda names: names.deployment),
            ("networking.k8s.io", "ingresses", lambda names: names.ingress),
        )
        for permission in (
            Permission("create", group, resource, _RECOVERY),
            Permission("get", group, resource, _RECOVERY, name),
            Permission("update", group, resource, _RECOVERY, name),
        )
    ),
    *(
        Permission(verb, group, resource, _RECOVERY)
        for group, resource in (
            ("autoscaling", "horizontalpodautoscalers"),
            ("policy", "poddisruptionbudgets"),
            ("batch", "cronjobs"),
            ("cert-manager.io", "certificates"),
        )
        for verb in ("create", "get", "update")
    ),
)
"""What may be bound for as long as a recovery takes: deploy/kubernetes/recovery."""

FOR_EXEC: Final = (
    Permission("get", "", "pods/exec", "logs size"),
    Permission("create", "", "pods/exec", "logs size"),
)
"""What may be bound where it is wanted: deploy/kubernetes/exec."""


_REMEDY: Final = "Apply deploy/kubernetes/access/clusterrole.yaml if you want that."


def ask(asking: Asking) -> Answer:
    """All of them side by side."""
    namespace = asking.names.namespace
    asked = [
        (permission, asking.aside(partial(_allowed, asking, permission)))
        for permission in (*NEEDED, *HELPFUL, *FOR_RECOVERY, *FOR_EXEC)
    ]
    answers = [(permission, bool(future.result(timeout=asking.left))) for permission, future in asked]
    lacks = [permission for permission, allowed in answers if not allowed and permission in NEEDED]
    misses = [permission for permission, allowed in answers if not allowed and permission in HELPFUL]
    table = Table(
        columns=("verb", "resource", "for", "allowed"),
        rows=tuple(
            (
                each.verb,
                each.kind,
                each.needed_for,
                _word(allowed),
            )
            for each, allowed in answers
        ),
    )
    if lacks:
        named = ", ".join(f"{each.verb} {each.resource}" for each in lacks)
        sentence = f"Our account may not {named} in {namespace}: apply deploy/kubernetes, or give its Role these verbs."
        return Answer(Status.FAIL, sentence, f"{len(lacks)} missing", (table,), own_fault=True)
    if misses:
        sentence = f"Our account may not look at the nodes: scale says nothing of their room. {_REMEDY}"
        return Answer(Status.WARN, sentence, f"{len(misses)} missing", (table,), own_fault=True)
    sentence = f"Our account has every permission that it needs in {namespace}."
    if any(not allowed and permission in FOR_RECOVERY for permission, allowed in answers):
        sentence += " restore config and recover need deploy/kubernetes/recovery as well."
    if any(not allowed and permission in FOR_EXEC for permission, allowed in answers):
        sentence += " logs size needs deploy/kubernetes/exec as well."
    return Answer(Status.OK, sentence, count(len(NEEDED), "permission"), (table,), own_fault=True)


def _allowed(asking: Asking, permission: Permission) -> bool:
    name = permission.name(asking.names)
    return asking.cluster.may(
        permission.verb, permission.group, permission.resource, name, everywhere=permission.everywhere
    )


def _word(allowed: bool) -> str:  # noqa: FBT001 - it is what is shown
    return "yes" if allowed else "NO"


def _look(settings: Settings) -> str:
    return f"kubectl auth can-i --list -n {settings.ops.kubernetes.namespace}"


QUESTION = Question("kubernetes", "Kubernetes", "Kubernetes", ask, _look)
