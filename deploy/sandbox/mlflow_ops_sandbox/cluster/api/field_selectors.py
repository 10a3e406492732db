"""Field selectors: ``status.phase=Running,spec.nodeName!=a``.

Only the fields that the table of kinds names can be selected; a real server refuses every other one, and so does
this.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import bad_request


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One field that must (or must not) have a value."""

    path: str
    value: str
    equal: bool

    def matches(self, item: Object) -> bool:
        """Say whether the object satisfies it."""
        return (_field(item, self.path) == self.value) is self.equal


FieldSelector = tuple[FieldRequirement, ...]


def matches(selector: FieldSelector, item: Object) -> bool:
    """Say whether an object satisfies all requirements."""
    return all(requirement.matches(item) for requirement in selector)


def parse_field_selector(text: str, resource: Resource) -> FieldSelector:
    """Read the ``fieldSelector`` parameter. Raises ApiError 400 with the sentence of a real server."""
    requirements: list[FieldRequirement] = []
    for part in _split(text):
        path, operator, value = _divide(part)
        if not operator:
            message = f"invalid selector: '{text}'; can't understand '{part}'"
            raise bad_request(message)
        if path not in _supported(resource):
            raise bad_request(_not_supported(resource, path))
        requirements.append(FieldRequirement(path, _unescape(value), operator != "!="))
    return tuple(requirements)


def _supported(resource: Resource) -> tuple[str, ...]:
    own = ("metadata.name", "metadata.namespace") if resource.namespaced else ("metadata.name",)
    return (*own, *resource.fields)


def _not_supported(resource: Resource, path: str) -> str:
    if resource.fields:
        return f"field label not supported: {path}"
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def _split(text: str) -> list[str]:
    parts: list[str] = []
    current = ""
    escaped = False
    for character in text:
        if character == "," and not escaped:
            parts.append(current)
            current = ""
            continue
        escaped = character == "\\" and not escaped
        current += character
    return [part for part in (*parts, current) if part]


def _divide(part: str) -> tuple[str, str, str]:
    for position, character in enumerate(part):
        for operator in ("!=", "==", "="):
            if character == operator[0] and part.startswith(operator, position):
                return part[:position], operator, part[position + len(operator) :]
    return part, "", ""


def _unescape(value: str) -> str:
    return value.replace("\\,", ",").replace("\\=", "=").replace("\\\\", "\\")


def _field(item: Object, path: str) -> str:
    if path == "source" and "involvedObject" in item:
        return str((item.get("source") or {}).get("component") or item.get("reportingComponent") or "")
    if path == "status.successful":
        return str((item.get("status") or {}).get("succeeded") or 0)
    value: object = item
    for step in path.split("."):
        if not isinstance(value, dict):
            return ""
        value = value.get(step)
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0"}.get(path, "")
    return str(value)
