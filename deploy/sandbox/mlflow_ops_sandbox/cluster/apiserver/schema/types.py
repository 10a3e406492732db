"""The types of the API, read from the models of the official client.

The client's models are generated from Kubernetes' own OpenAPI document, so no copy of it is needed here: they name
every field, its type and its description. What they leave out (merge keys, quantities) stands in ``merging``.
Kinds without a model (custom resources) are open: every field is known, and nothing is checked.
"""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass, field
from typing import Any

from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.apiserver.schema.merging import (
    ATOMIC_MAPS,
    ATOMIC_TYPES,
    INT_OR_STRING,
    MERGES,
    QUANTITIES,
    Merge,
)

_MODELS = "kubernetes.client.models"
_PREFIX = re.compile(r"^(?:[A-Z][a-z]+)?V\d(?:(?:alpha|beta)\d)?")
_SCALARS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "time",
            "bytes": "bytes", "object": "any"}  # fmt: skip
_SPECIAL = {("Event", "v1"): "CoreV1Event", ("TokenRequest", "v1"): "AuthenticationV1TokenRequest"}


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value."""

    kind: str
    """object | map | list | string | integer | number | boolean | time | bytes | quantity | int-or-string | any"""
    model: str = ""
    """For an object: its model."""
    item: Type | None = None
    """For a list or map: what it holds."""
    merge: Merge = field(default=Merge(merges=False))
    atomic: bool = False
    """For a map or object: whether server-side apply takes it as one value."""
    description: str = ""

    @property
    def name(self) -> str:
        """Return the name of an object's type as Kubernetes has it (``DeploymentSpec``)."""
        return type_name(self.model)


ANY = Type("any")


def type_name(model: str) -> str:
    """Return the name of a model's type without version (``V1PodSpec`` → ``PodSpec``)."""
    return _PREFIX.sub("", model)


def root_type(resource: Resource) -> Type:
    """Return the type of a kind's objects."""
    return type_of_kind(resource.kind, resource.version)


def type_of_kind(kind: str, version: str) -> Type:
    """Return the type of a kind; an open one where there is no model."""
    name = _SPECIAL.get((kind, version)) or version[:1].upper() + version[1:] + kind
    return Type("object", name) if _model(name) is not None else ANY


def field_of(owner: Type, name: str) -> Type | None:
    """Return the type of a field of an object, None where it has no such field; open types have every field."""
    if owner.kind == "any":
        return ANY
    return fields_of(owner.model).get(name)


@functools.cache
def fields_of(model: str) -> dict[str, Type]:
    """Return the fields of a model by their names in JSON."""
    found = _model(model)
    if found is None:
        return {}
    return {
        json_name: _type(found, model, attribute, json_name) for attribute, json_name in found.attribute_map.items()
    }


@functools.cache
def required_of(model: str) -> tuple[str, ...]:
    """Return the names of the fields that a model must have."""
    found = _model(model)
    if found is None:
        return ()
    return tuple(
        json_name
        for attribute, json_name in found.attribute_map.items()
        if attribute in found.model_fields and found.model_fields[attribute].is_required()
    )


def description_of(model: str) -> str:
    """Return what a model is for."""
    found = _model(model)
    text = (found.__doc__ or "") if found is not None else ""
    return text.partition("Attributes:")[0].strip()


@functools.cache
def _model(name: str) -> Any:
    return getattr(importlib.import_module(_MODELS), name, None)


def _type(found: Any, model: str, attribute: str, json_name: str) -> Type:
    owner = type_name(model)
    described = found.model_fields[attribute].description or "" if attribute in found.model_fields else ""
    merge = MERGES.get(owner, {}).get(json_name, Merge(merges=False))
    text = found.openapi_types[attribute]
    if (owner, json_name) in QUANTITIES:
        quantity = Type("quantity")
        return Type("map", item=quantity, description=described) if text.startswith("Dict") else quantity
    if text == "object" and json_name in INT_OR_STRING:
        return Type("int-or-string", description=described)
    atomic = (owner, json_name) in ATOMIC_MAPS
    return _parsed(text, merge, described, atomic=atomic)


def _parsed(text: str, merge: Merge, described: str, *, atomic: bool) -> Type:
    plain = Merge(merges=False)
    if text.startswith("List["):
        return Type("list", item=_parsed(text[5:-1], plain, "", atomic=False), merge=merge, description=described)
    if text.startswith("Dict["):
        item = _parsed(text.partition(", ")[2][:-1], plain, "", atomic=False)
        return Type("map", item=item, merge=merge, atomic=atomic, description=described)
    if text in _SCALARS:
        return Type(_SCALARS[text], description=described)
    return Type("object", text, merge=merge, atomic=type_name(text) in ATOMIC_TYPES, description=described)
