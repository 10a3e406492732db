"""Everything in the namespace that bears MLflow's label, as `kubectl get all` lists it and with what that leaves out:
Ingresses, ConfigMaps and Secrets are not among its "all".

A kind that our account may not list, or that the cluster does not have, is named instead of failing the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.deployment import drift_report, ownership
from workers.operations.health import pods
from workers.operations.inspection.finding import name_of
from workers.operations.kubectl import by_hand, kubectl
from workers.report import Report, Section, Status, Table, Text
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterForbidden, ClusterNotFound
from workers.wording import NOTHING, count, duration, listed

if TYPE_CHECKING:
    from workers.systems import Systems

AT_ONCE: Final = 4
Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of object: in the plural and its group as in a path; what is told of one."""

    plural: str
    group: str
    told: Callable[[Fields], str]


def _service(fields: Fields) -> str:
    ports = ", ".join(
        f"{each.number('port')}/{each.text('protocol', default='TCP')}" for each in _each(fields, "ports")
    )
    return f"{fields.text('spec', 'type', default='ClusterIP')} {fields.text('spec', 'clusterIP')} {ports}".strip()


def _each(fields: Fields, name: str) -> list[Fields]:
    return fields.each("spec", name)


def _ready(fields: Fields) -> str:
    wanted = fields.number("spec", "replicas", default=1)
    return f"{fields.number('status', 'readyReplicas')}/{wanted} ready"


def _deployment(fields: Fields) -> str:
    images = listed([each.text("image") for each in fields.each("spec", "template", "spec", "containers")])
    return f"{_ready(fields)}, {fields.number('status', 'updatedReplicas')} up to date; {images}"


def _daemon_set(fields: Fields) -> str:
    return f"{fields.number('status', 'numberReady')}/{fields.number('status', 'desiredNumberScheduled')} ready"


def _job(fields: Fields) -> str:
    if fields.number("status", "failed") and not fields.number("status", "succeeded"):
        return "failed"
    return "succeeded" if fields.number("status", "succeeded") else "running"


def _autoscaler(fields: Fields) -> str:
    least, most = fields.number("spec", "minReplicas", default=1), fields.number("spec", "maxReplicas")
    return f"{least} to {most} replicas, now {fields.number('status', 'currentReplicas')}"


def _cron_job(fields: Fields) -> str:
    return f"{fields.text('spec', 'schedule')}{', suspended' if fields.flag('spec', 'suspend') else ''}"


def _ingress(fields: Fields) -> str:
    hosts = listed([each.text("host") for each in _each(fields, "rules")])
    return f"{hosts}{', TLS' if _each(fields, 'tls') else ''}"


KINDS: Final = (
    Kind("services", "api/v1", _service),
    Kind("deployments", "apis/apps/v1", _deployment),
    Kind("replicasets", "apis/apps/v1", _ready),
    Kind("statefulsets", "apis/apps/v1", _ready),
    Kind("daemonsets", "apis/apps/v1", _daemon_set),
    Kind("horizontalpodautoscalers", "apis/autoscaling/v2", _autoscaler),
    Kind("cronjobs", "apis/batch/v1", _cron_job),
    Kind("jobs", "apis/batch/v1", _job),
    Kind("ingresses", "apis/networking.k8s.io/v1", _ingress),
)


class ClusterStatus(Operation):
    """Show every object of MLflow's in the cluster."""

    name: ClassVar[str] = "status"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """List them. Raises OperatorError where there is none at all."""
        progress.step("Listing what bears the label")
        names, now = systems.settings.ops.kubernetes, datetime.now(UTC)
        states = [pods.read(pod, now) for pod in systems.cluster.pods(names.selector)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda kind: _objects(systems, kind), KINDS))
        found = [(kind, item) for kind, (items, _) in zip(KINDS, answers, strict=True) for item in items]
        missed = [why for _, why in answers if why]
        if not states and not found:
            message = f"Nothing in {names.namespace} bears {names.selector}."
            raise OperatorError(message, "Check kubernetes.namespace and kubernetes.selector in ops.yaml.")
        ready = sum(state.is_ready for state in states)
        status = Status.OK if states and ready == len(states) else Status.WARN if ready else Status.FAIL
        summary = f"{ready} of {count(len(states), 'pod')} ready; {count(len(states) + len(found), 'object')} in all."
        if missed:
            summary += f" {count(len(missed), 'kind')} could not be listed."
        sections: list[Section] = [*pods.table(states)]
        rows = tuple(_row(kind, item, now) for kind, item in found)
        if rows:
            sections.append(Table(title="Objects", columns=("object", "state", "age"), rows=rows))
        ours = _owned(systems, found)
        owned = tuple(ownership.told(ours))
        if owned:
            sections.append(Table(title="Managed by", columns=("object", "owner"), rows=owned))
        drifted = drift_report.of(systems, *(item for item in ours if item["kind"] != "Secret"))
        sections += drifted.sections
        if drifted.summary:
            status = Status.WARN if status is Status.OK else status
            summary += f" {drifted.summary}"
        if missed:
            sections.append(Text(title="Not listed", text="\n".join(missed)))
        lines = [
            kubectl(systems.settings, "get", what, "-l", names.selector) for what in ("all", "ingress,configmap,secret")
        ]
        troubled = next((state.name for state in states if not state.is_ready), "")
        hints = (f"describe pod {troubled}", "events --warnings") if troubled else ("top", "rollout status", "health")
        return Report(
            title=f"Status of {names.deployment}",
            status=status,
            summary=summary,
            sections=(*sections, by_hand(*lines)),
            hints=hints,
        )


def _objects(systems: Systems, kind: Kind) -> tuple[list[Json], str]:
    """Those with the label, and a sentence where they cannot be listed."""
    try:
        selector = systems.settings.ops.kubernetes.selector
        return sorted(systems.cluster.every(kind.plural, kind.group, selector=selector), key=name_of), ""
    except ClusterForbidden as error:
        return [], f"{kind.plural}: {error.message}"
    except ClusterNotFound:
        return [], ""


def _owned(systems: Systems, found: list[tuple[Kind, Json]]) -> list[Json]:
    """The objects that commands change and others may own, each with its kind, which a list leaves out."""
    names = systems.settings.ops.kubernetes
    kinds = {"deployments": "Deployment", "ingresses": "Ingress"}
    items = [{**item, "kind": kinds[kind.plural]} for kind, item in found if kind.plural in kinds]
    try:
        configmap = systems.cluster.configmap(names.configmap)
        items.append({**configmap, "kind": "ConfigMap"})
        # Their values are nobody's business here.
        secrets = [systems.cluster.secret(name)["metadata"] for name in (names.secret, names.tls_secret)]
        items.extend({"kind": "Secret", "metadata": each} for each in secrets)
    except OperatorError:
        return items
    return items


def _row(kind: Kind, item: Json, now: datetime) -> tuple[str, str, str]:
    fields = Fields(item, kind.plural)
    made = fields.moment("metadata", "creationTimestamp")
    age = duration((now - made).total_seconds()) if made else NOTHING
    return f"{singular(kind.plural)}/{name_of(item)}", kind.told(fields), age


def singular(plural: str) -> str:
    """Deployments → deployment, ingresses → ingress."""
    return plural[:-2] if plural.endswith("sses") else plural.removesuffix("s")
