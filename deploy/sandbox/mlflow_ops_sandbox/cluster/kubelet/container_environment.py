"""The environment of a container: its own values, and those of ConfigMaps and Secrets, or what is missing."""

from __future__ import annotations

import base64
import re

from mlflow_ops_sandbox.cluster.api.objects import Object, labels_of, name_of, namespace_of, uid_of
from mlflow_ops_sandbox.cluster.api.resources import CONFIG_MAPS, SECRETS, Resource
from mlflow_ops_sandbox.cluster.api.store import Store

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z0-9_.-]+)\))")


class MissingConfigError(Exception):
    """A ConfigMap, a Secret or a key is not there; the message is the kubelet's."""


def environment_of(store: Store, pod: Object, container: Object) -> dict[str, str]:
    """Return the environment. Raises MissingConfigError."""
    made: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        values = _from_source(store, namespace_of(pod), source)
        made |= {f"{prefix}{key}": value for key, value in values.items()}
    for entry in container.get("env") or ():
        value = _value(store, pod, entry)
        if value is not None:
            made[entry["name"]] = expand(value, made)
    return made


def expand(text: str, values: dict[str, str]) -> str:
    """Replace ``$(NAME)``, as commands and values have it; unknown names stay, ``$$`` is one dollar."""

    def replacement(found: re.Match[str]) -> str:
        if found.group(1) == "$":
            return "$"
        return values.get(found.group(2), found.group(0))

    return _REFERENCE.sub(replacement, text)


def _from_source(store: Store, namespace: str, source: Object) -> dict[str, str]:
    for field, resource in (("configMapRef", CONFIG_MAPS), ("secretRef", SECRETS)):
        if field in source:
            reference = source[field]
            found = _find(store, resource, namespace, reference)
            return _data(found, resource) if found is not None else {}
    return {}


def _value(store: Store, pod: Object, entry: Object) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return str(entry.get("value") or "")
    for field, resource in (("configMapKeyRef", CONFIG_MAPS), ("secretKeyRef", SECRETS)):
        if field not in source:
            continue
        reference = source[field]
        found = _find(store, resource, namespace_of(pod), reference)
        data = _data(found, resource) if found is not None else {}
        key = reference["key"]
        if key in data:
            return data[key]
        if reference.get("optional"):
            return None
        message = f"couldn't find key {key} in {resource.kind} {namespace_of(pod)}/{reference['name']}"
        raise MissingConfigError(message)
    return _field(pod, (source.get("fieldRef") or {}).get("fieldPath", ""))


def _find(store: Store, resource: Resource, namespace: str, reference: Object) -> Object | None:
    found = store.find(resource, namespace, reference["name"])
    if found is None and not reference.get("optional"):
        message = f'{resource.kind.lower()} "{reference["name"]}" not found'
        raise MissingConfigError(message)
    return found


def _data(item: Object, resource: Resource) -> dict[str, str]:
    data: dict[str, str] = item.get("data") or {}
    if resource == SECRETS:
        return {key: base64.b64decode(value or "").decode(errors="replace") for key, value in data.items()}
    return dict(data)


def _field(pod: Object, path: str) -> str:
    label = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
    if label:
        entries = labels_of(pod) if label.group(1) == "labels" else pod["metadata"].get("annotations") or {}
        return str(entries.get(label.group(2), ""))
    status = pod.get("status") or {}
    return {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "spec.nodeName": str(pod["spec"].get("nodeName", "")),
        "spec.serviceAccountName": str(pod["spec"].get("serviceAccountName", "")),
        "status.podIP": str(status.get("podIP", "")),
        "status.hostIP": str(status.get("hostIP", "")),
    }.get(path, "")
