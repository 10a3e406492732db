"""What Go's JSON decoder calls things, and what it says of a body that is no JSON."""

from __future__ import annotations

import json
from typing import Any

_NO_VALUE = "looking for beginning of value"
_GO_WORDS = {
    "Expecting property name": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Expecting ':'": "after object key",
    "Extra data": "after top-level value",
}
"""What Go's decoder says where Python's says this."""


def json_kind(value: Any) -> str:
    """Return what Go's decoder calls a JSON value."""
    names = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def go_json_error(body: bytes, problem: ValueError) -> str:
    """Return what Go's decoder says of a body that is no JSON."""
    if isinstance(problem, json.JSONDecodeError):
        rest = problem.doc[problem.pos :].lstrip()
        if rest and not problem.msg.startswith("Unterminated"):
            where = next((words for start, words in _GO_WORDS.items() if problem.msg.startswith(start)), _NO_VALUE)
            return f"invalid character {rest[0]!r} {where}"
    elif body:
        return "invalid UTF-8"
    return "unexpected end of JSON input"
