"""Kubernetes objects of a set put in the place of those that are there: what would differ, and doing it.

Each object is sent whole, so that a field that somebody has added since goes away too; what the cluster hands out
(addresses of a Service, a resourceVersion) is carried over. The server says first, in a dry run, what would become of
it (https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operation import Change
from workers.operations.backup.configuration import Export, clean, without_secrets
from workers.systems.errors import ClusterConflict, ClusterForbidden, ClusterNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.systems.cluster.client import Cluster

Json = dict[str, Any]

KINDS: Final = {
    "Secret": ("secrets", "api/v1"),
    "ConfigMap": ("configmaps", "api/v1"),
    "Service": ("services", "api/v1"),
    "Deployment": ("deployments", "apis/apps/v1"),
    "Ingress": ("ingresses", "apis/networking.k8s.io/v1"),
    "HorizontalPodAutoscaler": ("horizontalpodautoscalers", "apis/autoscaling/v2"),
    "PodDisruptionBudget": ("poddisruptionbudgets", "apis/policy/v1"),
    "CronJob": ("cronjobs", "apis/batch/v1"),
    "Certificate": ("certificates", "apis/cert-manager.io/v1"),
}
"""In the order in which they are applied: what pods start with before the pods, and those before what sends to them."""
_HANDED_OUT: Final = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")
ATTEMPTS: Final = 5
_VALUE_AT_MOST: Final = 80
_HIDDEN: Final = "a secret value"
_NONE: Final = "none"


@dataclass(frozen=True)
class Applied:
    """One object: as the set has it, as it is, and as it would be. live: None where there is none."""

    wanted: Json
    live: Json | None
    result: Json

    @property
    def name(self) -> str:
        """kind/name, as kubectl says it."""
        return name_of(self.wanted)

    @property
    def version(self) -> str:
        """What changes when somebody else changes it: the generation where it has one, else the resourceVersion."""
        metadata = (self.live or {}).get("metadata", {})
        return str(metadata.get("generation") or metadata.get("resourceVersion") or "")

    @property
    def content(self) -> str:
        """SHA-256 of all that would be applied, in hexadecimal; of a Secret, whose values a hash might betray, only the
        names of its keys: its values are in the stored document, which has a checksum.
        """
        shown = _hidden(self.wanted) if self.wanted["kind"] == "Secret" else self.wanted
        return hashlib.sha256(json.dumps(shown, sort_keys=True, ensure_ascii=True).encode()).hexdigest()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Each field that would differ; values that look like secrets are not shown."""
        if self.live is None:
            return (Change(what=self.name, before="missing", after="as in the backup"),)
        old, new = _flat(_typed(self.live, self.wanted)), _flat(self.result)
        shown_old, shown_new = _flat(_hidden(_typed(self.live, self.wanted))), _flat(_hidden(self.result))
        return tuple(
            Change(
                what=f"{self.name} {path}",
                before=_shown(old, shown_old, path, self.wanted),
                after=_shown(new, shown_new, path, self.wanted),
            )
            for path in {**old, **new}
            if old.get(path) != new.get(path)
        )


def name_of(item: Json) -> str:
    """kind/name, as kubectl says it."""
    return f"{item['kind'].lower()}/{item['metadata']['name']}"


def compared(cluster: Cluster, items: list[Json]) -> list[Applied]:
    """Each object of a set with what is there, and with what the server says it would become; in the order to apply.

    Raises ClusterError, and OperatorError where our account may not.
    """
    order = list(KINDS)
    known = sorted((each for each in items if each["kind"] in KINDS), key=lambda each: order.index(each["kind"]))
    return [_compared(cluster, each) for each in known]


def apply(cluster: Cluster, wanted: Json, *, dry: bool = False) -> Json:
    """Create an object, or put it in the place of the one with its name; what the server made of it.

    A controller that writes its status meanwhile, as that of disruption budgets does all the time, is no reason to
    stop. Raises ClusterError; ClusterConflict where someone else has changed what would be put back.
    """
    plural, group = KINDS[wanted["kind"]]
    seen: Json | None = None
    for _ in range(ATTEMPTS):
        try:
            live = cluster.named(plural, wanted["metadata"]["name"], group)
        except ClusterNotFound:
            return cluster.create(plural, wanted, group, dry=dry)
        if seen is not None and _typed(seen, wanted) != _typed(live, wanted):
            break
        seen = live
        try:
            return cluster.replace(plural, _carried(wanted, live), group, dry=dry)
        except ClusterConflict:
            continue
    raise ClusterConflict(f"{name_of(wanted)} is being changed by someone else.", "Ask again.")


def _compared(cluster: Cluster, wanted: Json) -> Applied:
    plural, group = KINDS[wanted["kind"]]
    try:
        try:
            live: Json | None = cluster.named(plural, wanted["metadata"]["name"], group)
        except ClusterNotFound:
            live = None
        result = apply(cluster, wanted, dry=True)
    except ClusterForbidden as error:
        raise OperatorError(
            f"Our account may not put {name_of(wanted)} back: {error.message}",
            "An administrator can let it, for as long as is needed: kubectl apply -k deploy/kubernetes/recovery",
        ) from None
    return Applied(wanted, live, _typed(result, wanted))


def _carried(wanted: Json, live: Json) -> Json:
    """With what the cluster has handed out, and only if nobody else writes it meanwhile."""
    metadata = wanted["metadata"] | {"resourceVersion": live["metadata"]["resourceVersion"]}
    ours = wanted | {"metadata": metadata}
    if wanted["kind"] == "Service":
        given = {key: live["spec"][key] for key in _HANDED_OUT if key in live["spec"]}
        ours = ours | {"spec": {**given, **wanted["spec"]}}
    return ours


def _typed(item: Json, like: Json) -> Json:
    return clean({**item, "apiVersion": like["apiVersion"], "kind": like["kind"]})


def _hidden(item: Json) -> Json:
    if item["kind"] == "Secret":
        return item | {part: dict.fromkeys(item.get(part) or {}, _HIDDEN) for part in ("data", "stringData")}
    (shown,) = without_secrets(Export([item])).objects
    return shown


def _shown(whole: dict[str, str], hidden: dict[str, str], path: str, item: Json) -> str:
    if path not in whole:
        return _NONE
    if item["kind"] == "Secret" and path.startswith(("data.", "stringData.")):
        return _HIDDEN
    value = whole[path]
    if hidden.get(path) != value:
        return _HIDDEN
    return value if len(value) <= _VALUE_AT_MOST else f"{value[:_VALUE_AT_MOST]}…"


def _flat(value: Any, path: str = "") -> dict[str, str]:
    return dict(_leaves(value, path))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, each in value.items():
                yield from _leaves(each, f"{path}.{key}" if path else str(key))
        case list():
            for number, each in enumerate(value):
                named = each.get("name") if isinstance(each, dict) else None
                yield from _leaves(each, f"{path}[{named or number}]")
        case None:
            return
        case _:
            yield path, str(value)
