"""Strategic merge patch: lists merge by the key of their type, and directives say what merging cannot.

``$patch: delete | replace | merge``, ``$deleteFromPrimitiveList/<list>``, ``$setElementOrder/<list>``,
``$retainKeys``. What is merged how stands in ``schema.merging``. An item that the list does not have yet comes
before the others, unless ``$setElementOrder`` says otherwise; that is what the real server does.
"""

from __future__ import annotations

from typing import Any

from mlflow_ops_sandbox.cluster.apiserver.schema.types import ANY, Type, field_of

_DIRECTIVE, _RETAIN = "$patch", "$retainKeys"
_DELETE_VALUES, _ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


class StrategicMergeError(Exception):
    """A patch that cannot be applied; the message is the server's."""


def strategic_merge(target: dict[str, Any], patch: dict[str, Any], kind: Type) -> dict[str, Any]:
    """Return the patched object; neither argument is changed. Raises StrategicMergeError."""
    return _merge_object(target, patch, kind)


def _merge_object(target: dict[str, Any], patch: dict[str, Any], kind: Type) -> dict[str, Any]:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in {None, "merge"}:
        raise StrategicMergeError(f"Unknown patch type found: {directive}")
    merged = dict(target)
    if _RETAIN in patch:
        merged = {key: value for key, value in merged.items() if key in patch[_RETAIN]}
    _delete_values(merged, patch)
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        found = None
        if value is not None:
            found = _merge_value(merged.get(key), value, _type_of(kind, key), patch.get(_ORDER + key))
        if found is None:
            merged.pop(key, None)
        else:
            merged[key] = found
    _order_rest(merged, patch, kind)
    return merged


def _delete_values(merged: dict[str, Any], patch: dict[str, Any]) -> None:
    """Take values out of lists of plain values."""
    for key, removed in patch.items():
        if key.startswith(_DELETE_VALUES):
            name = key.removeprefix(_DELETE_VALUES)
            merged[name] = [entry for entry in merged.get(name) or () if entry not in removed]


def _order_rest(merged: dict[str, Any], patch: dict[str, Any], kind: Type) -> None:
    """Sort the lists for which a patch gives an order and nothing else."""
    for key, order in patch.items():
        name = key.removeprefix(_ORDER)
        if key.startswith(_ORDER) and name not in patch and isinstance(merged.get(name), list):
            merged[name] = _ordered(merged[name], [], order, _type_of(kind, name))


def _type_of(kind: Type, key: str) -> Type:
    if kind.kind == "map":
        return kind.item or ANY
    return field_of(kind, key) or ANY if kind.kind in {"object", "any"} else ANY


def _merge_value(before: Any, value: Any, kind: Type, order: Any) -> Any:
    if isinstance(value, dict):
        if value.get(_DIRECTIVE) == "delete":
            return None
        return _merge_object(before if isinstance(before, dict) else {}, value, kind)
    if isinstance(value, list) and kind.kind == "list" and kind.merge.merges:
        return _merge_list(before if isinstance(before, list) else [], value, kind, order)
    return value


def _merge_list(before: list[Any], patch: list[Any], kind: Type, order: Any) -> list[Any]:
    key = kind.merge.patch_key
    if not key:
        merged = before + [entry for entry in patch if entry not in before]
        return _ordered(merged, patch, order, kind) if order else merged
    if any(isinstance(entry, dict) and entry.get(_DIRECTIVE) == "replace" for entry in patch):
        return [entry for entry in patch if _DIRECTIVE not in entry]
    merged = list(before)
    added: list[Any] = []
    for entry in patch:
        if not isinstance(entry, dict) or key not in entry:
            raise StrategicMergeError(f"map: {_go(entry)} does not contain declared merge key: {key}")
        at = next((index for index, old in enumerate(merged) if old.get(key) == entry[key]), None)
        if entry.get(_DIRECTIVE) == "delete":
            merged = [old for old in merged if old.get(key) != entry[key]]
        elif at is None:
            added.append(_merge_object({}, entry, kind.item or ANY))
        else:
            merged[at] = _merge_object(merged[at], entry, kind.item or ANY)
    return _ordered(added + merged, patch, order or [], kind) if order else added + merged


def _ordered(items: list[Any], patch: list[Any], order: list[Any], kind: Type) -> list[Any]:
    key = kind.merge.patch_key
    del patch

    def mark(entry: Any) -> Any:
        return entry.get(key) if key and isinstance(entry, dict) else entry

    wanted = [mark(entry) for entry in order]
    named = sorted((item for item in items if mark(item) in wanted), key=lambda item: wanted.index(mark(item)))
    others = [item for item in items if mark(item) not in wanted]
    if not others:
        return named
    # What the order does not name keeps its place among what it does.
    result: list[Any] = []
    places = {mark(item): index for index, item in enumerate(items)}
    for item in others:
        while named and places[mark(named[0])] < places[mark(item)]:
            result.append(named.pop(0))
        result.append(item)
    return result + named


def go_format(value: Any) -> str:
    """Write a value as Go's ``%v`` does: ``map[a:1 b:[x y]]``."""
    return _go(value)


def _go(value: Any) -> str:
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_go(entry) for entry in value) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
