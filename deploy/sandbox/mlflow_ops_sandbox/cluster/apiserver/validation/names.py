"""Names, labels and annotations: what may be written, and how a refusal reads (apimachinery's util/validation)."""

from __future__ import annotations

import re
from collections.abc import Callable

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.apiserver.validation.problems import Problems

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_OLD_LABEL = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_KEY = r"[-._a-zA-Z0-9]+"
_ENDS = "must start and end with an alphanumeric character"

_LONGEST_SUBDOMAIN, _LONGEST_LABEL, _LONGEST_ANNOTATIONS = 253, 63, 256 * 1024


def subdomain(text: str) -> list[str]:
    """Return what is wrong with a DNS-1123 subdomain."""
    sentence = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
        f"{_ENDS} (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
    )
    return _wrong(text, _SUBDOMAIN, sentence, _LONGEST_SUBDOMAIN)


def dns_label(text: str) -> list[str]:
    """Return what is wrong with a DNS-1123 label."""
    sentence = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
        f"{_ENDS} (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
    )
    return _wrong(text, _LABEL, sentence, _LONGEST_LABEL)


def old_dns_label(text: str) -> list[str]:
    """Return what is wrong with a DNS-1035 label (Services)."""
    sentence = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
        f"is '{_OLD_LABEL}')"
    )
    return _wrong(text, _OLD_LABEL, sentence, _LONGEST_LABEL)


def path_segment(text: str) -> list[str]:
    """Return what is wrong with a name of which only a part of a URL is asked (Roles)."""
    if text in {".", ".."}:
        return [f"may not be '{text}'"]
    return [f"may not contain '{sign}'" for sign in "/%" if sign in text]


def label_value(text: str) -> list[str]:
    """Return what is wrong with the value of a label."""
    sentence = (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
        f"{_ENDS} (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_VALUE}')"
    )
    return _wrong(text, _VALUE, sentence, _LONGEST_LABEL)


def qualified_name(text: str) -> list[str]:
    """Return what is wrong with the key of a label or annotation."""
    signs = f"must consist of alphanumeric characters, '-', '_' or '.', and {_ENDS} (e.g. 'MyName',  or 'my.name',  or "
    signs += f"'123-abc', regex used for validation is '{_NAME}')"
    if text.count("/") > 1:
        return [f"a qualified name {signs} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    prefix, slash, name = text.rpartition("/")
    found: list[str] = []
    if slash:
        if not prefix:
            found.append("prefix part must be non-empty")
        found += [f"prefix part {sentence}" for sentence in (subdomain(prefix) if prefix else [])]
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > _LONGEST_LABEL:
        found.append(f"name part must be no more than {_LONGEST_LABEL} bytes")
    if not re.fullmatch(_NAME, name):
        found.append(f"name part {signs}")
    return found


def config_key(text: str) -> list[str]:
    """Return what is wrong with a key of a ConfigMap or Secret."""
    sentence = (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
        f"  or 'key-name', regex used for validation is '{_KEY}')"
    )
    found = _wrong(text, _KEY, sentence, _LONGEST_SUBDOMAIN)
    return found if text not in {".", ".."} else [f"must not be '{text}'"]


def _wrong(text: str, pattern: str, sentence: str, longest: int) -> list[str]:
    found = [f"must be no more than {longest} bytes"] if len(text) > longest else []
    return found if re.fullmatch(pattern, text) else [*found, sentence]


_NAME_RULES: dict[str, Callable[[str], list[str]]] = {
    "Service": old_dns_label,
    "Namespace": dns_label,
    **dict.fromkeys(("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), path_segment),
}


def check_metadata(item: Object, resource: Resource, problems: Problems) -> None:
    """Check name, labels, annotations, finalizers, owners."""
    metadata = item["metadata"]
    name = metadata.get("name", "")
    if not name and not metadata.get("generateName"):
        problems.required("metadata.name", "name or generateName is required")
    elif name:
        for sentence in _NAME_RULES.get(resource.kind, subdomain)(name):
            problems.invalid("metadata.name", name, sentence)
    check_labels(metadata.get("labels"), "metadata.labels", problems)
    check_annotations(metadata.get("annotations"), "metadata.annotations", problems)
    for index, entry in enumerate(metadata.get("finalizers") or ()):
        for sentence in qualified_name(entry):
            problems.invalid(f"metadata.finalizers[{index}]", entry, sentence)
    for owner in metadata.get("ownerReferences") or ():
        if not owner.get("apiVersion"):
            problems.invalid("metadata.ownerReferences.apiVersion", "", "version must not be empty")
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                problems.invalid(f"metadata.ownerReferences.{key}", "", "must not be empty")


def check_labels(labels: dict[str, str] | None, path: str, problems: Problems) -> None:
    """Check keys and values."""
    for key, value in (labels or {}).items():
        for sentence in qualified_name(key):
            problems.invalid(path, key, sentence)
        for sentence in label_value(value):
            problems.invalid(path, value, sentence)


def check_annotations(annotations: dict[str, str] | None, path: str, problems: Problems) -> None:
    """Check keys and total size."""
    for key in annotations or {}:
        for sentence in qualified_name(key.lower()):
            problems.invalid(path, key, sentence)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in (annotations or {}).items())
    if size > _LONGEST_ANNOTATIONS:
        problems.too_long(path, _LONGEST_ANNOTATIONS)
