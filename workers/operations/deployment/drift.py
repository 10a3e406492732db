"""Fields on which an object and what was applied to it do not agree: changed since, by whom, and when.

What was applied is in the annotation that client-side apply leaves (kubectl, Argo CD, Flux's older versions); with
server-side apply there is none, and only the managed fields tell: a field that its owner sets and somebody else has
written since is theirs now (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management). What
Git says can be asked of Git itself if ops.yaml names the repository. A field that was never applied is no drift: the
server's defaults, an autoscaler's replicas, a restart's annotation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from workers.operations.deployment import ownership
from workers.redaction import open_variable, redacted
from workers.systems.cluster.fields import Fields
from workers.systems.cluster.quantities import quantity
from workers.systems.errors import Nonsense
from workers.wording import ago

Json = dict[str, Any]
Path = tuple[str, ...]
"""Keys; an item of a list is "[its name]"."""

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
REPLICAS: Final = ("spec", "replicas")
_AUTOSCALER: Final = "kube-controller-manager"
_TEMPLATE: Final = ("spec", "template", "spec")
_WHOLE: Final = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Drift:
    """A field that differs. live: as it is; said: what was applied, None if nobody knows. by, at: who wrote it last.

    source: who says so ("Git", "the last apply"), or, if said is None, whose field it was.
    """

    path: Path
    live: Any
    said: Any
    source: str
    by: str = ""
    at: datetime | None = None

    @property
    def field(self) -> str:
        """As people call it: replicas, containers[mlflow].image, log_level."""
        keys = self.path[3:] if self.path[:3] == _TEMPLATE else self.path[1:]
        return ".".join(keys).replace(".[", "[")

    def told(self, now: datetime) -> str:
        """replicas: 4, Git says 2 (changed by kubectl-scale 3 h ago)."""
        when = f" {ago((now - self.at).total_seconds())}" if self.at else ""
        live = "not set" if self.live is None else self._shown(self.live)
        if self.said is None:
            return f"{self.field}: {live}, set by {self.by}{when} and not by {self.source}"
        changed = f" (changed by {self.by}{when})" if self.by else ""
        return f"{self.field}: {live}, {self.source} says {self._shown(self.said)}{changed}"

    def _shown(self, value: Any) -> str:
        text = " ".join((json.dumps(value) if isinstance(value, dict | list) else str(value)).split())
        # The name of a variable stands before its `value`.
        named = [f"{key.strip('[]')}={text}" for key in self.path[-2:]]
        variable = self.path[-1] == "value" and self.path[-3:-2] == ("env",) and self.path[-2].strip("[]")
        if any(redacted(each) != each for each in named) or (variable and not open_variable(variable)):
            return "(hidden)"
        return text if len(text) <= _WHOLE else f"{text[: _WHOLE - 1]}…"


def of(item: Json, git: Mapping[Path, Any] | None = None) -> list[Drift]:
    """What differs. git: what Git says now, by the field; it counts for more than what was applied once."""
    owner = ownership.owner_of(item)
    applied = dict(_leaves(_applied(item)))
    source = "Git" if owner is not None else "the last apply"
    said = {**applied, **(git or {})}
    found = [
        Drift(path, value_at(item, path), value, "Git" if path in (git or {}) else source, *_writer(item, path))
        for path, value in said.items()
        if not _same(path, value_at(item, path), value)
    ]
    if applied or owner is None:
        return found
    ours = ownership.managers_of(owner)
    return found + [each for each in _taken(item, owner.name, ours) if each.path not in said]


def sets_replicas(deployment: Json) -> bool:
    """Whether the Deployment's owner has a number of replicas; if not, it leaves them to others."""
    applied = _applied(deployment)
    if applied:
        return value_at(applied, REPLICAS) is not None
    owner = ownership.owner_of(deployment)
    known = _managers(deployment)
    if owner is None or not any(name in ownership.managers_of(owner) for name, _, _ in known):
        return True
    return bool({name for name, _, fields in known if _owns(fields, REPLICAS)} - {_AUTOSCALER})


def writer_of(item: Json, path: Path) -> str:
    """The name under which a field was written last; empty if nobody tells."""
    return _writer(item, path)[0]


def _applied(item: Json) -> Json:
    notes = Fields(item, "object").labels("metadata", "annotations")
    try:
        found = json.loads(notes.get(LAST_APPLIED, "{}"))
    except ValueError:
        return {}
    return {key: found[key] for key in ("spec", "data") if key in found} if isinstance(found, dict) else {}


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Each value with its path; of a list whose items have no names, the whole."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        for each in value:
            rest = {key: inner for key, inner in each.items() if key != "name"}
            yield from _leaves(rest, (*path, f"[{each['name']}]"))
    elif value is not None:
        yield path, value


def value_at(value: Any, path: Sequence[str]) -> Any:
    """What stands at a path; None if nothing does."""
    for key in path:
        if key.startswith("[") and isinstance(value, list):
            value = next((each for each in value if isinstance(each, dict) and f"[{each.get('name')}]" == key), None)
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _same(path: Path, one: Any, other: Any) -> bool:
    if isinstance(other, list) and isinstance(one, list):
        # The server fills defaults into the items.
        return len(one) == len(other) and all(_holds(a, b) for a, b in zip(one, other, strict=True))
    if one is None or str(one) == str(other):
        return one is not None or other in ("", [], {}, False)
    try:
        return "resources" in path and quantity(str(one)) == quantity(str(other))
    except Nonsense:
        return False


def _holds(live: Any, applied: Any) -> bool:
    if isinstance(live, dict) and isinstance(applied, dict):
        return all(_holds(live.get(key), value) for key, value in applied.items())
    return bool(live == applied)


def _managers(item: Json) -> list[tuple[str, datetime | None, Json]]:
    """Who has written which fields, and when; what controllers write into the status is left out."""
    entries = Fields(item, "object").each("metadata", "managedFields")
    raw = (item.get("metadata") or {}).get("managedFields") or []
    return [
        (each.text("manager"), each.moment("time"), known.get("fieldsV1") or {})
        for each, known in zip(entries, raw, strict=True)
        if each.text("subresource") != "status"
    ]


def _owns(fields: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(fields, dict):
            return False
        fields = next((inner for name, inner in fields.items() if _is_key(name, key)), None)
    return fields is not None


def _is_key(name: str, key: str) -> bool:
    if not key.startswith("["):
        return name == f"f:{key}"
    if not name.startswith("k:"):
        return False
    try:
        found = json.loads(name[2:])
    except ValueError:
        return False
    return isinstance(found, dict) and f"[{found.get('name')}]" == key


def _writer(item: Json, path: Path) -> tuple[str, datetime | None]:
    """Who wrote a field last; nobody if it is not there any more."""
    found = [(name, at) for name, at, fields in _managers(item) if _owns(fields, path)]
    return max(found, key=lambda each: each[1] or datetime.min.replace(tzinfo=UTC), default=("", None))


def _taken(item: Json, owner: str, managers: frozenset[str]) -> Iterator[Drift]:
    """Fields of the kind that commands change, which somebody other than the owner has written."""
    known = _managers(item)
    if not any(name in managers for name, _, _ in known):
        return
    for path, live in _leaves({key: item[key] for key in ("spec", "data") if key in item}):
        if path != REPLICAS and path[0] != "data" and not (path[:3] == _TEMPLATE and _changeable(path)):
            continue
        writers = {name for name, _, fields in known if _owns(fields, path)}
        if writers and not writers & managers and writers != {_AUTOSCALER}:
            by, at = _writer(item, path)
            yield Drift(path, live, None, owner, by, at)


def _changeable(path: Path) -> bool:
    return path[3] == "containers" and len(path) > 5 and path[5] in {"image", "resources", "env"}  # noqa: PLR2004
