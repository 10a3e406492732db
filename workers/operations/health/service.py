"""The Service: is there one for MLflow's pods, and does it lead to any that is ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.operations.health.questions import Answer, Question
from workers.report import Status, Table
from workers.systems.cluster.fields import Fields
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings


@dataclass(frozen=True)
class _Service:
    name: str
    kind: str
    address: str
    ports: str
    ready: int
    not_ready: int


def ask(asking: Asking) -> Answer:
    """Services, their endpoints and MLflow's pods."""
    slices = asking.aside(asking.cluster.endpoint_slices)
    services = asking.cluster.services()
    return judge(services, slices.result(timeout=asking.left), asking.pods(), asking.settings)


def judge(
    services: Sequence[dict[str, Any]],
    slices: Sequence[dict[str, Any]],
    pods: Sequence[dict[str, Any]],
    settings: Settings,
) -> Answer:
    """From the namespace's Services and EndpointSlices, and MLflow's pods."""
    names = settings.ops.kubernetes
    labels = [Fields(pod, "pod").labels("metadata", "labels") for pod in pods]
    found = [
        _read(fields, slices)
        for fields in (Fields(service, "Service") for service in services)
        if fields.text("metadata", "name") == names.service or _selects(fields, labels)
    ]
    by_name = {service.name: service for service in found}
    main = by_name.get(names.service)
    if main is None:
        others = f"; {', '.join(by_name)} selects its pods" if by_name else ""
        sentence = f"There is no Service {names.service} in {names.namespace}{others}."
        return Answer(Status.FAIL, sentence, figure="missing", own_fault=True)
    status, sentence = _verdict(main)
    rows = tuple(
        (service.name, service.kind, service.address, service.ports, str(service.ready), str(service.not_ready))
        for service in found
    )
    columns = ("service", "type", "address", "ports", "ready", "not ready")
    return Answer(
        status,
        sentence,
        figure=count(main.ready, "endpoint"),
        details=(Table(columns=columns, rows=rows, numeric=("ready", "not ready")),),
        figures={"services": len(found), "ready_endpoints": main.ready, "not_ready_endpoints": main.not_ready},
    )


def _verdict(service: _Service) -> tuple[Status, str]:
    where = f"{service.name} ({service.kind}, {service.ports})"
    if service.ready == 0:
        left = f"; {count(service.not_ready, 'endpoint')} not ready" if service.not_ready else " at all"
        return Status.FAIL, f"{where} leads nowhere: no ready endpoint{left}."
    partly = f", {service.not_ready} not ready" if service.not_ready else ""
    return Status.OK, f"{where} leads to {count(service.ready, 'ready endpoint')}{partly}."


def _selects(service: Fields, labels: Sequence[dict[str, str]]) -> bool:
    selector = service.labels("spec", "selector")
    return bool(selector) and any(selector.items() <= of_pod.items() for of_pod in labels)


def _read(service: Fields, slices: Sequence[dict[str, Any]]) -> _Service:
    name = service.text("metadata", "name")
    ready, not_ready = set[str](), set[str]()
    for fields in (Fields(each, "EndpointSlice") for each in slices):
        if fields.text("metadata", "labels", "kubernetes.io/service-name") != name:
            continue
        for endpoint in fields.each("endpoints"):
            # Two slices (IPv4 and IPv6) hold the same pod: it counts once. Absent means ready, says the API.
            who = endpoint.text("targetRef", "name") or ",".join(endpoint.texts("addresses"))
            if endpoint.flag("conditions", "terminating"):
                continue
            (ready if endpoint.flag("conditions", "ready", default=True) else not_ready).add(who)
    ports = ", ".join(
        f"{port.number('port')}/{port.text('protocol', default='TCP')}" for port in service.each("spec", "ports")
    )
    outside = [
        entry.text("hostname") or entry.text("ip") for entry in service.each("status", "loadBalancer", "ingress")
    ]
    return _Service(
        name=name,
        kind=service.text("spec", "type", default="ClusterIP"),
        address=", ".join(outside) or service.text("spec", "clusterIP", default="none"),
        ports=ports,
        ready=len(ready),
        not_ready=len(not_ready - ready),
    )


def _look(settings: Settings) -> str:
    names = settings.ops.kubernetes
    return f"kubectl describe service {names.service} -n {names.namespace}"


QUESTION = Question(
    "service",
    "Service",
    "Kubernetes",
    ask,
    _look,
    spokesman="pods",
    rests_on=("pods", "deployment"),
    command="manifest service",
)
