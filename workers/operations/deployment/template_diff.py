"""What is another in two pod templates, thing by thing, in the words of a manifest; a secret value is never shown."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from workers.operation import Change
from workers.redaction import open_variable, redacted
from workers.wording import NOTHING

_KEYS: Final = ("name", "mountPath", "containerPort", "key")
"""What tells the entries of a list apart; other lists are told apart by place."""
_VARIABLE: Final = re.compile(r"\.env\[(?P<name>[^\]]*)\]\.value$")
_LONGEST: Final = 120


def differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[Change, ...]:
    """Before → after of each leaf; the labels that a ReplicaSet adds are left out."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    paths = [path for path in sorted({*old, *new}) if old.get(path) != new.get(path)]
    return tuple(
        Change(what=path.removeprefix("spec."), before=_shown(path, old.get(path)), after=_shown(path, new.get(path)))
        for path in paths
    )


def bare(template: dict[str, Any]) -> dict[str, Any]:
    """A ReplicaSet's template as its Deployment has it: without the label of its hash."""
    metadata = dict(template.get("metadata") or {})
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name != "pod-template-hash"}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _leaves(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [leaf for name, part in value.items() for leaf in _leaves(part, f"{path}.{name}" if path else name)]
    if isinstance(value, list):
        return [
            leaf for place, part in enumerate(value) for leaf in _leaves(part, f"{path}[{_name(part, str(place))}]")
        ]
    return [] if value is None else [(path, str(value))]


def _name(part: Any, place: str) -> str:
    if not isinstance(part, dict):
        return place
    return next((str(part[key]) for key in _KEYS if key in part), place)


def _shown(path: str, value: str | None) -> str:
    if value is None:
        return NOTHING
    variable = _VARIABLE.search(path)
    if redacted(value) != value or (variable is not None and not open_variable(variable["name"])):
        return f"hidden, fingerprint {hashlib.sha256(value.encode()).hexdigest()[:8]}"
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
