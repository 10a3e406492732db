"""``/openapi/v3``: what kubectl reads before it applies, explains, or leaves the checking of fields to the server.

One document for each group and version, made from the same types that requests are decoded with. There is no
``/openapi/v2``: clients that know version 3 do not ask for it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import STORED, Resource
from mlflow_ops_sandbox.cluster.apiserver.discovery import VERSION
from mlflow_ops_sandbox.cluster.apiserver.schema.types import (
    Type,
    description_of,
    fields_of,
    required_of,
    root_type,
    type_name,
)

_ROOT = "/openapi/v3"
_PATCHES = (
    "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)  # fmt: skip
_PARAMETERS = {"create": ("dryRun", "fieldManager", "fieldValidation"), "update": ("dryRun", "fieldManager",
               "fieldValidation"), "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
               "delete": ("dryRun", "gracePeriodSeconds", "propagationPolicy")}  # fmt: skip
_METHODS = {"get": "get", "update": "put", "patch": "patch", "delete": "delete"}
_SCALARS: dict[str, Object] = {
    "string": {"type": "string"},
    "integer": {"type": "integer", "format": "int32"},
    "number": {"type": "number", "format": "double"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "int-or-string": {"type": "string", "format": "int-or-string"},
    "any": {},
}


def answer(parts: list[str]) -> Object | None:
    """Answer /openapi/v3 and what is below it (``parts`` of the path); None where there is nothing."""
    match parts:
        case []:
            return index()
        case ["api", version]:
            return document("", version)
        case ["apis", group, version]:
            return document(group, version)
    return None


def index() -> Object:
    """Return the list of documents."""
    versions = dict.fromkeys((entry.group, entry.version) for entry in STORED)
    paths: Object = {}
    for group, version in versions:
        path = _base(group, version)
        digest = hashlib.sha256(json.dumps(document(group, version)).encode()).hexdigest().upper()
        paths[path.removeprefix("/")] = {"serverRelativeURL": f"{_ROOT}{path}?hash={digest}"}
    return {"paths": paths}


@functools.cache
def document(group: str, version: str) -> Object | None:
    """Return the document of a group and version; None where there is none. It is shared: nobody may change it."""
    chosen = [entry for entry in STORED if (entry.group, entry.version) == (group, version)]
    if not chosen:
        return None
    schemas: Object = {}
    paths: Object = {}
    for resource in chosen:
        _add(schemas, root_type(resource), resource)
        for path, operations in _paths(resource):
            paths[path] = operations
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _base(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _paths(resource: Resource) -> Iterator[tuple[str, Object]]:
    where = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"{_base(resource.group, resource.version)}{where}/{resource.plural}"
    yield collection, {"get": _operation(resource, "list"), "post": _operation(resource, "create")}
    single = {method: _operation(resource, verb) for verb, method in _METHODS.items() if verb in resource.verbs}
    yield f"{collection}/{{name}}", single


def _operation(resource: Resource, verb: str) -> Object:
    names = _PARAMETERS.get(verb, ())
    schema = {"$ref": _reference(root_type(resource).model)}
    operation: Object = {
        "operationId": f"{verb}{resource.kind}",
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
        "x-kubernetes-action": {"create": "post", "update": "put"}.get(verb, verb),
        "x-kubernetes-group-version-kind": _kind(resource),
    }
    if verb in {"create", "update"}:
        operation["requestBody"] = {"content": {"*/*": {"schema": schema}}, "required": True}
    elif verb == "patch":
        operation["requestBody"] = {"content": {name: {"schema": {"type": "object"}} for name in _PATCHES}}
    return operation


def _kind(resource: Resource) -> Object:
    return {"group": resource.group, "kind": resource.kind, "version": resource.version}


def _add(schemas: Object, kind: Type, resource: Resource | None = None) -> None:
    """Describe a structure and all that it holds."""
    name = _name(kind.model)
    if kind.kind != "object" or (name in schemas and resource is None):
        return
    described: Object = {"type": "object"}
    schemas[name] = described
    text = description_of(kind.model)
    if text:
        described["description"] = text
    fields = fields_of(kind.model)
    described["properties"] = {field: _property(wanted) for field, wanted in fields.items()}
    required = [field for field in required_of(kind.model) if field in fields]
    if required:
        described["required"] = required
    if resource is not None:
        described["x-kubernetes-group-version-kind"] = [_kind(resource)]
    for wanted in fields.values():
        below: Type | None = wanted
        while below is not None:
            if below.kind == "object":
                _add(schemas, below)
            below = below.item


def _property(wanted: Type) -> Object:
    described = _shape(wanted)
    if wanted.description:
        described["description"] = wanted.description
    merge = wanted.merge
    if wanted.kind == "list":
        if merge.apply_keys:
            described["x-kubernetes-list-map-keys"] = list(merge.apply_keys)
        kind = "map" if merge.apply_keys else "set" if merge.is_set else "atomic"
        described["x-kubernetes-list-type"] = kind
    if merge.patch_key:
        described["x-kubernetes-patch-merge-key"] = merge.patch_key
    strategy = [name for name, on in (("merge", merge.merges), ("retainKeys", merge.retains_keys)) if on]
    if strategy:
        described["x-kubernetes-patch-strategy"] = ",".join(strategy)
    return described


def _shape(wanted: Type) -> Object:
    if wanted.kind == "object":
        # A reference stands alone, so that a description may stand beside it.
        return {"allOf": [{"$ref": _reference(wanted.model)}], "default": {}}
    if wanted.kind == "list":
        return {"type": "array", "items": _shape(wanted.item) if wanted.item else {}}
    if wanted.kind == "map":
        return {"type": "object", "additionalProperties": _shape(wanted.item) if wanted.item else {}}
    described: dict[str, Any] = dict(_SCALARS[wanted.kind])
    return described


def _name(model: str) -> str:
    short = type_name(model)
    return f"io.k8s.api.{model.removesuffix(short).lower()}.{short}"


def _reference(model: str) -> str:
    return f"#/components/schemas/{_name(model)}"
