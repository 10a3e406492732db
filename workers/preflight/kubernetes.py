"""Kubernetes: each permission that a command needs, asked one by one of the API server itself.

https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-access-review-v1/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.health.amounts import count
from workers.health.asking import Answer, Question
from workers.operation import Status, Table

if TYPE_CHECKING:
    from workers.health.asking import Asking
    from workers.settings import Settings

NEEDED: Final = (
    ("list", "", "pods", "health"),
    ("get", "", "pods/log", "health"),
    ("list", "", "services", "health"),
    ("list", "discovery.k8s.io", "endpointslices", "health"),
    ("get", "networking.k8s.io", "ingresses", "health"),
    ("get", "", "secrets", "health: the TLS certificate"),
    ("list", "", "events", "health"),
    ("get", "apps", "deployments", "health"),
    ("list", "metrics.k8s.io", "pods", "health: resource use"),
)
"""verb, API group, resource (with its subresource), and the command that needs it."""


def ask(asking: Asking) -> Answer:
    """All of them side by side."""
    cluster, namespace = asking.cluster, asking.names.namespace
    asked = [
        (needed, asking.aside(lambda needed=needed: cluster.may(needed[0], needed[1], needed[2])))  # type: ignore[misc]
        for needed in NEEDED
    ]
    answers = [(needed, bool(future.result(timeout=asking.left))) for needed, future in asked]
    lacks = [(verb, resource) for (verb, _, resource, _), allowed in answers if not allowed]
    table = Table(
        columns=("verb", "resource", "for", "allowed"),
        rows=tuple(
            (verb, f"{resource}.{group}" if group else resource, why, "yes" if allowed else "NO")
            for (verb, group, resource, why), allowed in answers
        ),
    )
    if lacks:
        named = ", ".join(f"{verb} {resource}" for verb, resource in lacks)
        sentence = f"Our account may not {named} in {namespace}: give its Role these verbs."
        return Answer(Status.FAIL, sentence, f"{len(lacks)} missing", (table,), own_fault=True)
    sentence = f"Our account has every permission that it needs in {namespace}."
    return Answer(Status.OK, sentence, count(len(NEEDED), "permission"), (table,), own_fault=True)


def _look(settings: Settings) -> str:
    return f"kubectl auth can-i --list -n {settings.ops.kubernetes.namespace}"


QUESTION = Question("kubernetes", "Kubernetes", "Kubernetes", ask, _look)
