"""What is wrong with an object: gathered field by field, in the words of the API's field errors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from mlflow_ops_sandbox.cluster.api.status import Cause


def shown(value: Any) -> str:
    """Write a bad value as the server does: text quoted, numbers bare, the rest as JSON."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass(slots=True)
class Problems:
    """All that is wrong with one object."""

    causes: list[Cause] = field(default_factory=list)

    def required(self, path: str, detail: str = "") -> None:
        """A field that must be there is not."""
        self._add("FieldValueRequired", path, "Required value", detail)

    def invalid(self, path: str, value: Any, detail: str) -> None:
        """A value breaks a rule."""
        self._add("FieldValueInvalid", path, f"Invalid value: {shown(value)}", detail)

    def unsupported(self, path: str, value: Any, *supported: str) -> None:
        """A value is none of those that there are."""
        listed = ", ".join(f'"{entry}"' for entry in supported)
        self._add("FieldValueNotSupported", path, f"Unsupported value: {shown(value)}", f"supported values: {listed}")

    def duplicate(self, path: str, value: Any) -> None:
        """A value that must be the only one is not."""
        self._add("FieldValueDuplicate", path, f"Duplicate value: {shown(value)}", "")

    def missing(self, path: str, value: Any) -> None:
        """A name refers to nothing."""
        self._add("FieldValueNotFound", path, f"Not found: {shown(value)}", "")

    def forbidden(self, path: str, detail: str) -> None:
        """A field may not be set, or may not change."""
        self._add("FieldValueForbidden", path, "Forbidden", detail)

    def too_long(self, path: str, limit: int) -> None:
        """A text is longer than it may be."""
        self._add("FieldValueTooLong", path, "Too long", f"may not be more than {limit} bytes")

    def at_least(self, path: str, value: Any, least: int = 0) -> None:
        """Check a number against its least value, where it is given."""
        if isinstance(value, int) and value < least:
            wanted = f"must be greater than or equal to {least}" if least == 0 else f"must be greater than {least - 1}"
            self.invalid(path, value, wanted)

    def one_of(self, path: str, value: Any, *supported: str) -> None:
        """Check a value against those that there are, where it is given."""
        if value is not None and value not in supported:
            self.unsupported(path, value, *supported)

    def _add(self, reason: str, path: str, message: str, detail: str) -> None:
        self.causes.append(Cause(reason, path, f"{message}: {detail}" if detail else message))
