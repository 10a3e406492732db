"""From what a client sent to an object: types are checked, unknown fields found, empty values left out.

A real server decodes into Go structures and encodes again, so an empty list, an empty map or a null leaves no
trace. The sentences of a wrong type are those of Go's JSON decoder (``Dialect.json``), or of the converter that
strategic merge and server-side apply use (``Dialect.converter``).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from mlflow_ops_sandbox.cluster.api.quantities import canonical_quantity
from mlflow_ops_sandbox.cluster.api.times import from_rfc3339
from mlflow_ops_sandbox.cluster.apiserver.schema.merging import LONG, POINTERS
from mlflow_ops_sandbox.cluster.apiserver.schema.types import Type, field_of, type_name

_INT32, _INT64 = 2**31, 2**63
_GO_NAMES = {"map": "object", "list": "array", "str": "string", "bool": "bool", "dict": "object", "int": "number",
             "float": "number"}  # fmt: skip
_ABSENT = object()


class DecodingError(Exception):
    """A value of the wrong type; the message is the decoder's."""


# Written whatever they hold: structs, and what is one in Go, so that a maxSurge of 0 stays 0.
_ALWAYS = frozenset({"object", "any", "int-or-string"})


@dataclass(slots=True)
class Decoder:
    """Decodes one object; ``unknown`` are the paths of fields that no type has."""

    converter: bool = False
    """Whether the words are those of the converter instead of those of the JSON decoder."""
    unknown: list[str] = field(default_factory=list)

    def decode(self, value: Any, kind: Type) -> Any:
        """Return the clean object. Raises DecodingError."""
        found = self._value(value, kind, "", "")
        return {} if found is _ABSENT else found

    def _value(self, value: Any, kind: Type, path: str, struct: str) -> Any:
        if kind.kind == "any":
            return value
        if value is None:
            return _ABSENT
        match kind.kind:
            case "object":
                return self._object(value, kind, path, struct)
            case "map":
                return self._map(value, kind, path, struct)
            case "list":
                return self._list(value, kind, path, struct)
            case _:
                return self._scalar(value, kind, path, struct)

    def _object(self, value: Any, kind: Type, path: str, struct: str) -> Any:
        if not isinstance(value, dict):
            raise self._wrong(value, path, struct, "v1." + kind.name, f"cannot restore struct from: {_go_kind(value)}")
        kept: dict[str, Any] = {}
        for name, entry in value.items():
            below = f"{path}.{name}" if path else name
            wanted = field_of(kind, name)
            if wanted is None:
                self.unknown.append(below)
                continue
            found = self._value(entry, wanted, below, type_name(kind.model))
            if found is _ABSENT or (wanted.kind not in _ALWAYS and _is_zero(found) and name not in POINTERS):
                continue
            kept[name] = found
        return kept

    def _map(self, value: Any, kind: Type, path: str, struct: str) -> Any:
        if not isinstance(value, dict):
            raise self._wrong(value, path, struct, "map[string]string", f"cannot restore map from {_go_kind(value)}")
        assert kind.item is not None
        # Go's decoder names fields of structures only: a value in a map goes by the path of the map.
        plain = kind.item.kind not in {"object", "map", "list"}
        kept = {
            key: self._value(entry, kind.item, path if plain else f"{path}.{key}", struct)
            for key, entry in value.items()
        }
        return {key: "" if entry is _ABSENT else entry for key, entry in kept.items()} or _ABSENT

    def _list(self, value: Any, kind: Type, path: str, struct: str) -> Any:
        assert kind.item is not None
        if not isinstance(value, list):
            name = f"[]v1.{kind.item.name}" if kind.item.kind == "object" else "[]string"
            raise self._wrong(value, path, struct, name, f"cannot restore slice from {_go_kind(value)}")
        kept = [self._value(entry, kind.item, f"{path}[{index}]", struct) for index, entry in enumerate(value)]
        return [{} if entry is _ABSENT else entry for entry in kept] or _ABSENT

    def _scalar(self, value: Any, kind: Type, path: str, struct: str) -> Any:
        name = path.rpartition(".")[2]
        match kind.kind:
            case "quantity":
                return _quantity(value)
            case "integer" | "number":
                size = "int64" if name in LONG else "int32"
                return self._number(value, path, struct, size, whole=kind.kind == "integer")
            case "boolean":
                good = isinstance(value, bool)
                go_type = "bool"
            case "int-or-string":
                good = isinstance(value, (int, str)) and not isinstance(value, bool)
                go_type = "intstr.IntOrString"
            case _:
                good = isinstance(value, str)
                go_type = "string"
        if not good:
            raise self._wrong(value, path, struct, go_type, f"unrecognized type: {go_type}")
        if kind.kind == "time":
            _check_time(value)
        if kind.kind == "bytes":
            _check_base64(value)
        return value

    def _number(self, value: Any, path: str, struct: str, size: str, *, whole: bool) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(value, path, struct, size, f"unrecognized type: {size}")
        if not whole:
            return value
        limit = _INT64 if size == "int64" else _INT32
        if value != int(value) or not -limit <= value < limit:
            text = f"number {value}"
            message = f"json: cannot unmarshal {text} into Go struct field {struct}.{_plain(path)} of type {size}"
            raise DecodingError(message)
        return int(value)

    def _wrong(self, value: Any, path: str, struct: str, go_type: str, converted: str) -> DecodingError:
        if self.converter:
            return DecodingError(converted)
        where = f"Go struct field {struct}.{_plain(path)}" if path else "Go value"
        return DecodingError(f"json: cannot unmarshal {_json_kind(value)} into {where} of type {go_type}")


def _plain(path: str) -> str:
    """Leave the indices out, as Go's decoder does."""
    return ".".join(part.partition("[")[0] for part in path.split("."))


def _is_zero(value: Any) -> bool:
    return value in ("", 0, False) and value is not None and not isinstance(value, (list, dict))


def _json_kind(value: Any) -> str:
    return _GO_NAMES.get(type(value).__name__, "null")


def _go_kind(value: Any) -> str:
    kinds = {"str": "string", "bool": "bool", "int": "int64", "float": "float64", "list": "slice", "dict": "map"}
    return kinds.get(type(value).__name__, "invalid")


def _quantity(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        value = ""
    try:
        return canonical_quantity(value)
    except ValueError as problem:
        raise DecodingError(str(problem)) from None


def _check_time(value: str) -> None:
    try:
        from_rfc3339(value)
    except ValueError:
        message = f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"'
        raise DecodingError(message) from None


def _check_base64(value: str) -> None:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        bad = next((at for at, sign in enumerate(value) if not (sign.isalnum() or sign in "+/=")), len(value) // 4 * 4)
        message = f"illegal base64 data at input byte {bad}"
        raise DecodingError(message) from None
