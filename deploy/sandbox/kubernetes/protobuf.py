r"""Bodies in protobuf: kubectl sends reviews in it (``kubectl auth can-i``), whatever the server prefers.

The envelope is ``k8s\0`` and a runtime.Unknown; within it are the field numbers of generated.proto. Only the
messages that are listed in ``MESSAGES`` can be read; for everything else the answer is 415, and clients that can
send JSON do so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.sandbox.kubernetes.objects import Object
from deploy.sandbox.kubernetes.status import ApiError, bad_request

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name in JSON, and the message within, if it is one."""

    name: str
    message: str = ""
    repeated: bool = False


_METADATA = Field("metadata", "ObjectMeta")
_RESOURCE_ATTRIBUTES = Field("resourceAttributes", "ResourceAttributes")
_PATH_ATTRIBUTES = Field("nonResourceAttributes", "NonResourceAttributes")
MESSAGES: dict[str, dict[int, Field]] = {
    "ObjectMeta": {1: Field("name"), 2: Field("generateName"), 3: Field("namespace")},
    "ResourceAttributes": {
        1: Field("namespace"), 2: Field("verb"), 3: Field("group"), 4: Field("version"), 5: Field("resource"),
        6: Field("subresource"), 7: Field("name"),
    },
    "NonResourceAttributes": {1: Field("path"), 2: Field("verb")},
    "SelfSubjectReview": {1: _METADATA},
    "SelfSubjectAccessReview": {1: _METADATA, 2: Field("spec", "SelfSubjectAccessReviewSpec")},
    "SelfSubjectAccessReviewSpec": {1: _RESOURCE_ATTRIBUTES, 2: _PATH_ATTRIBUTES},
    "SelfSubjectRulesReview": {1: _METADATA, 2: Field("spec", "SelfSubjectRulesReviewSpec")},
    "SelfSubjectRulesReviewSpec": {1: Field("namespace")},
    "SubjectAccessReview": {1: _METADATA, 2: Field("spec", "SubjectAccessReviewSpec")},
    "LocalSubjectAccessReview": {1: _METADATA, 2: Field("spec", "SubjectAccessReviewSpec")},
    "SubjectAccessReviewSpec": {
        1: _RESOURCE_ATTRIBUTES, 2: _PATH_ATTRIBUTES, 3: Field("user"), 4: Field("groups", repeated=True),
    },
    "TokenReview": {1: _METADATA, 2: Field("spec", "TokenReviewSpec")},
    "TokenReviewSpec": {1: Field("token"), 2: Field("audiences", repeated=True)},
}  # fmt: skip


def decode(body: bytes) -> Object:
    """Return the object in the form of JSON. Raises ApiError 400 for what is broken, 415 for what is not listed."""
    if not body.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        type_fields = dict(_fields(envelope.get(1, b"")))
        kind = type_fields.get(2, b"").decode()
        if kind not in MESSAGES:
            raise unsupported_media_type()
        return {
            "kind": kind,
            "apiVersion": type_fields.get(1, b"").decode(),
            **_message(kind, envelope.get(2, b"")),
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
        value = _message(field.message, content) if field.message else content.decode()
        if field.repeated:
            result.setdefault(field.name, []).append(value)
        else:
            result[field.name] = value
    return result


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields that have bytes (strings, messages); numbers are passed over."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, position = _varint(data, position)
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
