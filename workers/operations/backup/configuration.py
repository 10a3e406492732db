"""MLflow's objects in the cluster as one YAML document that another cluster takes: `kubectl apply -n NAMESPACE -f`.

What the API server writes for itself (status, uid, resourceVersion, addresses that were handed out) is left out, so
nothing refuses it elsewhere. With a key the whole document is encrypted. Without one it holds no Secret, and no literal
value that looks like one: a password in a container's `env` is a secret wherever it stands.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from workers import redaction
from workers.errors import OperatorError
from workers.operations.backup.manifest import ConfigurationPart, Stored
from workers.operations.backup.stream import Reading
from workers.systems.errors import ClusterForbidden, ClusterNotFound
from workers.wording import size

if TYPE_CHECKING:
    from workers.operations.backup.encryption import Keys
    from workers.settings import KubernetesNames
    from workers.systems.cluster.client import Cluster
    from workers.systems.s3.transfer import Transfer

NAME: Final = "config.yaml"
ENCRYPTED_NAME: Final = "config.yaml.enc"
AT_MOST: Final = 16 << 20
"""Bytes of a configuration that is read."""
_DEEPEST: Final = 100
_ANOTHER: Final = "Use another set: /mlflow backup list."
LEFT_OUT: Final = "left-out-of-the-backup"

Json = dict[str, Any]

_APPS, _NETWORKING, _BATCH = "apis/apps/v1", "apis/networking.k8s.io/v1", "apis/batch/v1"
_KEPT_METADATA: Final = ("name", "labels", "annotations")
_WRITTEN_FOR_ITSELF: Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "autoscaling.alpha.kubernetes.io/conditions",
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "cert-manager.io/next-private-key-secret-name",
)
_OF_THE_CLUSTER: Final = ("clusterIP", "clusterIPs", "ipFamilies", "healthCheckNodePort")
_MOUNTED: Final = "kubernetes.io/service-account-token"


@dataclass
class Export:
    """The objects as they were found, cleaned. left_out: what is not among them, each in a sentence."""

    objects: list[Json] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """kind/name, as kubectl says it."""
        return tuple(f"{each['kind'].lower()}/{each['metadata']['name']}" for each in self.objects)

    def text(self) -> bytes:
        """All of them in one YAML stream."""
        text = yaml.dump_all(self.objects, Dumper=_Plain, sort_keys=False, allow_unicode=True, explicit_start=True)
        return str(text).encode()


class _Plain(yaml.SafeDumper):
    """Writes what stands in two places twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's
        return True


class _Bounded(yaml.SafeLoader):
    """Takes neither aliases, 500 bytes of which unfold to more than any memory holds, nor bottomless nesting.

    libyaml's loader would end the process at the latter.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _DEEPEST or self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _documents(content: bytes, where: str) -> list[Json]:
    try:
        found = list(yaml.load_all(content, Loader=_Bounded))
    except (yaml.YAMLError, ValueError):
        raise OperatorError(f"{where} is no YAML that we have written.", _ANOTHER) from None
    if not all(isinstance(each, dict) and isinstance(each.get("metadata"), dict) for each in found):
        raise OperatorError(f"{where} does not hold objects of a cluster.", _ANOTHER)
    return found


def store(  # noqa: PLR0913, PLR0917 - from where, to where
    cluster: Cluster, names: KubernetesNames, keys: Keys | None, transfer: Transfer, bucket: str, set_name: str
) -> ConfigurationPart:
    """Export the configuration into the set. Raises ClusterError, ObjectsError."""
    began = time.monotonic()
    found = export(cluster, names)
    if keys is None:
        found = without_secrets(found)
    key = f"{set_name}{ENCRYPTED_NAME if keys else NAME}"
    content = keys.encrypted(found.text(), key) if keys else found.text()
    transfer.put(bucket, key, content)
    key_id = keys.current_id if keys else ""
    return ConfigurationPart(
        document=Stored(key=key, bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), key_id=key_id),
        key_id=key_id,
        secrets=keys is not None,
        objects=found.names,
        left_out=tuple(found.left_out),
        seconds=time.monotonic() - began,
    )


def read(part: ConfigurationPart, keys: Keys | None, transfer: Transfer, bucket: str) -> list[Json]:
    """The objects of a stored configuration.

    Raises WrongKey; OperatorError that names the object where its bytes are not those that were written.
    """
    stored = Reading(part.document, transfer, bucket)
    if part.document.bytes > AT_MOST:
        raise OperatorError(f"{stored.where} is larger than any configuration: {size(part.document.bytes)}.", _ANOTHER)
    where, content = stored.where, b"".join(stored)
    stored.compare()
    if part.key_id:
        if keys is None:
            raise OperatorError(
                f"{where} is encrypted with the key {part.key_id}, and no key is set.", "Set MLFLOW_OPS_BACKUP_KEY."
            )
        content = keys.decrypted(content, part.document.key)
    found = _documents(content, where)
    if tuple(Export(found).names) != part.objects:
        raise OperatorError(f"{where} does not hold the objects that its manifest names.", _ANOTHER)
    return found


def export(cluster: Cluster, names: KubernetesNames) -> Export:
    """Everything that is MLflow's: by its name in ops.yaml, and what its Deployment refers to. Raises ClusterError."""
    found = Export()
    deployment = cluster.named("deployments", names.deployment, _APPS)
    template = deployment["spec"]["template"]
    labels = (template.get("metadata") or {}).get("labels") or {}
    used = _references(template["spec"])

    def one(kind: str, title: str, name: str, group: str = "api/v1") -> None:
        try:
            _add(found, title, cluster.named(kind, name, group))
        except ClusterNotFound:
            found.left_out.append(f"{title} {name} does not exist.")
        except ClusterForbidden:
            found.left_out.append(f"{title} {name} may not be read: give its name to our Role (deploy/kubernetes).")

    def those(kind: str, title: str, group: str, ours: Callable[[Json], bool]) -> None:
        try:
            items = cluster.every(kind, group)
        except ClusterNotFound:
            return
        except ClusterForbidden:
            found.left_out.append(f"{title}s may not be listed: give our Role that verb (deploy/kubernetes).")
            return
        for item in sorted(filter(ours, items), key=lambda item: str(item["metadata"]["name"])):
            _add(found, title, {"apiVersion": group.removeprefix("apis/").removeprefix("api/"), "kind": title, **item})

    for name in sorted({names.configmap, *used["ConfigMap"]}):
        one("configmaps", "ConfigMap", name)
    for name in sorted({names.secret, names.tls_secret, *used["Secret"]}):
        one("secrets", "Secret", name)
    those("services", "Service", "api/v1", lambda item: item["metadata"]["name"] == names.service)
    _add(found, "Deployment", deployment)
    one("ingresses", "Ingress", names.ingress, _NETWORKING)
    those(
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        "apis/autoscaling/v2",
        lambda item: (
            (item["spec"]["scaleTargetRef"]["kind"], item["spec"]["scaleTargetRef"]["name"])
            == ("Deployment", names.deployment)
        ),
    )
    those("poddisruptionbudgets", "PodDisruptionBudget", "apis/policy/v1", lambda item: _selects(item, labels))
    those("cronjobs", "CronJob", _BATCH, lambda item: _is_ours(item, names))
    those(
        "certificates",
        "Certificate",
        "apis/cert-manager.io/v1",
        lambda item: item["spec"].get("secretName") == names.tls_secret,
    )
    return found


def clean(item: Json) -> Json:
    """An object without what the API server writes for itself."""
    metadata = {name: value for name, value in item["metadata"].items() if name in _KEPT_METADATA and value}
    kept = {name: value for name, value in metadata.get("annotations", {}).items() if name not in _WRITTEN_FOR_ITSELF}
    metadata.pop("annotations", None)
    if kept:
        metadata["annotations"] = kept
    head = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}
    body = {name: value for name, value in item.items() if name not in {*head, "status"}}
    if item["kind"] == "Service":
        spec = dict(body.get("spec", {}))
        headless = spec.get("clusterIP") == "None"
        body["spec"] = {name: value for name, value in spec.items() if name not in _OF_THE_CLUSTER}
        if headless:
            body["spec"]["clusterIP"] = "None"
    cleaned: Json = _without_creation_times(body)
    return head | cleaned


def without_secrets(found: Export) -> Export:
    """The same without Secrets, and without literal values that look like secrets; each is told."""
    kept, left_out = Export(), list(found.left_out)
    for item in found.objects:
        title = f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] == "Secret":
            left_out.append(f"{title} is left out: no key is set to encrypt it.")
            continue
        hidden: list[str] = []
        kept.objects.append(_blotted(item, "", hidden))
        left_out += [f"{title}: the value of {name} is left out, as it looks like a secret." for name in hidden]
    kept.left_out = left_out
    return kept


def _blotted(value: Any, name: str, hidden: list[str]) -> Any:
    match value:
        case {"name": str(variable), "value": str(text)}:
            return value | {"value": _blotted(text, variable, hidden)}
        case dict():
            return {key: _blotted(each, str(key), hidden) for key, each in value.items()}
        case list():
            return [_blotted(each, name, hidden) for each in value]
        # Names of Secrets and of their keys are no secrets.
        case str(text) if name in {"name", "key", "secretName", "kind", "tokenReviewSecretName"}:
            return text
        case str(text) if (redaction.hides(name) and text) or redaction.redacted(text) != text:
            hidden.append(name)
            return LEFT_OUT
    return value


def _add(found: Export, title: str, item: Json) -> None:
    if item.get("type") == _MOUNTED:
        found.left_out.append(f"{title} {item['metadata']['name']} is a service account's token, which is made anew.")
        return
    found.objects.append(clean(item))


def _without_creation_times(value: Any) -> Any:
    """Pod templates carry `creationTimestamp: null` where a Go client has written them."""
    match value:
        case dict():
            return {
                name: _without_creation_times(each)
                for name, each in value.items()
                if not (name == "creationTimestamp" and each is None)
            }
        case list():
            return [_without_creation_times(each) for each in value]
    return value


def _references(spec: Json) -> dict[str, set[str]]:
    """The ConfigMaps and Secrets that a pod's spec refers to, by kind."""
    found: dict[str, set[str]] = {"ConfigMap": set(), "Secret": set()}
    for kind, name in _named(spec):
        found[kind].add(name)
    return found


def _named(value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for name, each in value.items():
                match name, each:
                    case ("configMapKeyRef" | "configMapRef" | "configMap", {"name": str(wanted)}):
                        yield "ConfigMap", wanted
                    case ("secretKeyRef" | "secretRef", {"name": str(wanted)}):
                        yield "Secret", wanted
                    case ("secret", {"secretName": str(wanted)} | {"name": str(wanted)}):
                        yield "Secret", wanted
                    case ("imagePullSecrets", list(wanted)):
                        yield from (("Secret", str(one["name"])) for one in wanted if "name" in one)
                yield from _named(each)
        case list():
            for each in value:
                yield from _named(each)


def _selects(item: Json, labels: dict[str, str]) -> bool:
    wanted = ((item["spec"].get("selector") or {}).get("matchLabels")) or {}
    return bool(wanted) and wanted.items() <= labels.items()


def _is_ours(item: Json, names: KubernetesNames) -> bool:
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    wanted = [part.partition("=") for part in names.selector.split(",")]
    by_label = bool(wanted) and all(labels.get(key.strip()) == value.strip("= ") for key, _, value in wanted)
    return by_label or str(metadata["name"]).startswith(f"{names.deployment}-")
