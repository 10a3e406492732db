r"""Bodies in protobuf: ``kubectl create``, ``kubectl auth can-i`` and Helm send them, whatever the server prefers.

The envelope is ``k8s\0`` and a runtime.Unknown; within it are the field numbers of generated.proto. Only the
messages in ``protobuf_messages`` can be read; for everything else the answer is 415, and clients that can send JSON
do so.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.status import ApiError, bad_request
from mlflow_ops_sandbox.cluster.apiserver.protobuf_messages import INLINED, MESSAGES, Field

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGN = 1 << 63


def decode(body: bytes) -> Object:
    """Return the object in the form of JSON. Raises ApiError 400 for what is broken, 415 for what is not listed."""
    if not body.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        type_fields = dict(_fields(_bytes(envelope.get(1))))
        kind = _bytes(type_fields.get(2)).decode()
        if kind not in MESSAGES:
            raise unsupported_media_type()
        return {
            "kind": kind,
            "apiVersion": _bytes(type_fields.get(1)).decode(),
            **_message(kind, _bytes(envelope.get(2))),
        }
    except (IndexError, UnicodeDecodeError):
        raise bad_request("provided data does not appear to be a protobuf message") from None


def unsupported_media_type() -> ApiError:
    """415: a body in a form that nobody reads here."""
    return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def _message(kind: str, data: bytes) -> Object:
    known = MESSAGES[kind]
    result: Object = {}
    for number, content in _fields(data):
        field = known.get(number)
        if field is None:
            continue
        if field.mapped:
            entry = dict(_fields(_bytes(content)))
            value = entry.get(2, b"")
            result.setdefault(field.name, {})[_bytes(entry.get(1)).decode()] = _value(Field("", field.kind), value)
            continue
        found = _value(field, content)
        if field.repeated:
            result.setdefault(field.name, []).append(found)
        elif field.name in INLINED:
            result.update(found)
        elif found not in ("", None):
            # What is empty was not said: Go writes the zero of every field that is no pointer.
            result[field.name] = found
    return result


def _value(field: Field, content: bytes | int) -> Any:
    if isinstance(content, int):
        number = content - 2 * _SIGN if content >= _SIGN else content
        return bool(content) if field.kind == "bool" else number
    if field.kind == "bytes":
        return base64.b64encode(content).decode()
    if field.kind == "Quantity":
        return _bytes(dict(_fields(content)).get(1)).decode()
    if field.kind == "IntOrString":
        parts = dict(_fields(content))
        return _bytes(parts.get(3)).decode() if parts.get(1) else parts.get(2, 0)
    return _message(field.kind, content) if field.kind in MESSAGES else content.decode()


def _bytes(content: bytes | int | None) -> bytes:
    return content if isinstance(content, bytes) else b""


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the fields: bytes (strings, messages) and whole numbers; others are passed over."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
        elif wire == _BYTES:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise IndexError
            yield number, data[position : position + length]
            position += length
        elif wire in {_FIXED64, _FIXED32}:
            position += 8 if wire == _FIXED64 else 4
        else:
            raise IndexError


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return value, position
