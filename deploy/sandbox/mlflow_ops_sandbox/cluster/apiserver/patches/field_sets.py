"""Sets of fields as managedFields holds them (FieldsV1): nested objects whose keys name fields and list items.

``f:<name>`` is a field, ``k:{…}`` an item of a list by its keys, ``v:<value>`` a value of a set, ``.`` the thing
itself. Within this module a set is a flat set of paths; a path is a tuple of such keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from mlflow_ops_sandbox.cluster.apiserver.schema.types import ANY, Type, field_of

Path = tuple[str, ...]
_IGNORED = frozenset({"apiVersion", "kind"})
_IGNORED_METADATA = frozenset(
    {
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
        "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds",
    }
)  # fmt: skip
_DEFAULT_KEYS = {"protocol": "TCP"}


def fields_of(item: dict[str, Any], kind: Type) -> dict[Path, Any]:
    """Return every field of an object that can be owned, with its value; containers have the value ``...``."""
    found = dict(_walk(item, kind, ()))
    return {path: value for path, value in found.items() if not _is_ignored(path)}


def _is_ignored(path: Path) -> bool:
    if path[0].removeprefix("f:") in _IGNORED or path == ("f:metadata",):
        return True
    return path[0] == "f:metadata" and len(path) > 1 and path[1].removeprefix("f:") in _IGNORED_METADATA


def _walk(value: Any, kind: Type, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and kind.kind in {"object", "map", "any"} and not kind.atomic:
        if path:
            yield path, ... if value else value
        for name, entry in value.items():
            wanted = (kind.item or ANY) if kind.kind == "map" else field_of(kind, name) or ANY
            yield from _walk(entry, wanted, (*path, f"f:{name}"))
    elif isinstance(value, list) and kind.kind == "list" and (kind.merge.apply_keys or kind.merge.is_set):
        yield path, ... if value else value
        for entry in value:
            below = (*path, item_key(entry, kind))
            if kind.merge.is_set:
                yield below, entry
            else:
                yield from _walk(entry, kind.item or ANY, below)
    else:
        yield path, value


def item_key(entry: Any, kind: Type) -> str:
    """Return the key of a list item: ``k:{"name":"mlflow"}`` or ``v:"x"``."""
    if kind.merge.is_set or not isinstance(entry, dict):
        return "v:" + json.dumps(entry, separators=(",", ":"))
    keys = {key: entry.get(key, _DEFAULT_KEYS.get(key)) for key in sorted(kind.merge.apply_keys)}
    return "k:" + json.dumps({key: value for key, value in keys.items() if value is not None}, separators=(",", ":"))


def applied_set(item: dict[str, Any], kind: Type) -> set[Path]:
    """Return the set that somebody who applies this object owns: leaves, list items, and empty containers."""
    found = fields_of(item, kind)
    return {path for path, value in found.items() if value is not ... or path[-1].startswith("k:")}


def changed_set(before: dict[str, Any], after: dict[str, Any], kind: Type) -> tuple[set[Path], set[Path]]:
    """Return what an update has set (new containers included) and what it has removed."""
    old, new = fields_of(before, kind), fields_of(after, kind)
    structs = {(f"f:{name}",) for name in ("metadata", "spec", "status")} | {
        ("f:spec", "f:strategy"), ("f:spec", "f:template"), ("f:spec", "f:template", "f:spec"),
        ("f:spec", "f:template", "f:metadata"),
    }  # fmt: skip
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    return changed - structs, {path for path in old if path not in new}


def to_fields_v1(paths: Iterable[Path]) -> dict[str, Any]:
    """Return the nested form."""
    chosen = set(paths)
    parents = {path[:length] for path in chosen for length in range(1, len(path))}
    root: dict[str, Any] = {}
    for path in sorted(chosen):
        node = root
        for part in path:
            node = node.setdefault(part, {})
        if path in parents:
            node["."] = {}
    return root


def from_fields_v1(fields: dict[str, Any], prefix: Path = ()) -> set[Path]:
    """Return the flat form."""
    found: set[Path] = set()
    for key, below in fields.items():
        if key == ".":
            found.add(prefix)
        elif below:
            found |= from_fields_v1(below, (*prefix, key))
        else:
            found.add((*prefix, key))
    return found


def path_text(path: Path) -> str:
    """Return a path as conflicts show it: ``.spec.containers[name="mlflow"].image``."""
    text = ""
    for part in path:
        kind, _, rest = part.partition(":")
        if kind == "f":
            text += "." + rest
        elif kind == "v":
            text += f"[={rest}]"
        else:
            keys = json.loads(rest)
            text += "[" + ",".join(f"{key}={json.dumps(keys[key])}" for key in sorted(keys)) + "]"
    return text
