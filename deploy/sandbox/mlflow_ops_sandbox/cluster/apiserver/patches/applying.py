"""Server-side apply: what somebody wants of an object, merged with what others own.

A value that another manager owns and that would change is a conflict, unless forced. What the same manager applied
before and does not apply any more is removed, unless somebody else owns it as well.
"""

from __future__ import annotations

import copy
from typing import Any

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.apiserver.patches.field_sets import (
    Path,
    applied_set,
    fields_of,
    item_key,
    path_text,
)
from mlflow_ops_sandbox.cluster.apiserver.patches.managers import Entry, Manager, entries_of, write_entries
from mlflow_ops_sandbox.cluster.apiserver.schema.types import ANY, Type, field_of


def apply(  # noqa: PLR0913 - two objects, their type, and how
    live: Object, wanted: Object, kind: Type, manager: Manager, *, now: str, force: bool
) -> Object:
    """Return the merged object with its managedFields. Raises ApiError 409 with every conflict."""
    entries = entries_of(live)
    values, present = fields_of(wanted, kind), fields_of(live, kind)
    claimed = applied_set(wanted, kind)
    conflicts = [
        (entry, path)
        for entry in entries
        if entry.manager != manager
        for path in sorted(entry.fields & claimed)
        if values.get(path) is not ... and values.get(path) != present.get(path)
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    for entry, path in conflicts:
        entry.fields.discard(path)
    mine = next((entry for entry in entries if entry.manager == manager), None)
    dropped = (mine.fields if mine else set()) - claimed
    others = {path for entry in entries if entry is not mine for path in entry.fields}
    merged = _merge(live, wanted, kind)
    for path in sorted(dropped, key=len, reverse=True):
        if not any(other[: len(path)] == path for other in others | claimed):
            _remove(merged, path, kind)
    if mine is None:
        entries.append(Entry(manager, claimed, now))
    elif mine.fields != claimed or any(values[path] != present.get(path) for path in claimed if path in values):
        mine.fields, mine.time = claimed, now
    merged = dict(merged)
    merged["metadata"] = dict(merged["metadata"])
    write_entries(merged, entries)
    return merged


def _merge(live: Any, wanted: Any, kind: Type) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict) and not kind.atomic:
        merged = dict(live)
        for key, value in wanted.items():
            below = (kind.item or ANY) if kind.kind == "map" else field_of(kind, key) or ANY
            merged[key] = _merge(live.get(key), value, below)
        return merged
    if isinstance(wanted, list) and isinstance(live, list) and kind.merge.is_set:
        return live + [entry for entry in wanted if entry not in live]
    if isinstance(wanted, list) and isinstance(live, list) and kind.merge.apply_keys:
        return _merge_items(live, wanted, kind)
    return copy.deepcopy(wanted)


def _merge_items(live: list[Any], wanted: list[Any], kind: Type) -> list[Any]:
    present = {item_key(entry, kind): entry for entry in live}
    named = {item_key(entry, kind): entry for entry in wanted}
    merged = {key: _merge(present.get(key), entry, kind.item or ANY) for key, entry in named.items()}
    result: list[Any] = []
    waiting = list(merged)
    for key, entry in present.items():
        if key not in merged:
            result.append(entry)
            continue
        # Items that are applied come in the order in which they are applied.
        while waiting and key in waiting:
            result.append(merged[waiting.pop(0)])
    return result + [merged[key] for key in waiting]


def _remove(item: Any, path: Path, kind: Type) -> None:
    for index, part in enumerate(path):
        last = index == len(path) - 1
        mark, _, name = part.partition(":")
        if mark == "f":
            below = (kind.item or ANY) if kind.kind == "map" else field_of(kind, name) or ANY
            if not isinstance(item, dict) or name not in item:
                return
            if last:
                del item[name]
                return
            item[name] = copy.copy(item[name])
            item, kind = item[name], below
        else:
            at = next((place for place, entry in enumerate(item) if item_key(entry, kind) == part), None)
            if at is None:
                return
            if last:
                del item[at]
                return
            item[at] = copy.copy(item[at])
            item, kind = item[at], kind.item or ANY


def _conflict(conflicts: list[tuple[Entry, Path]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {entry.manager.sentence()}",
            "field": path_text(path),
        }
        for entry, path in conflicts
    ]
    if len(conflicts) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
        return ApiError(409, "Conflict", message, {"causes": causes})
    lines: list[str] = []
    for sentence in sorted({entry.manager.sentence() for entry, _ in conflicts}):
        lines.append(f"conflicts with {sentence}:")
        lines += [f"- {path_text(path)}" for entry, path in conflicts if entry.manager.sentence() == sentence]
    message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, {"causes": causes})
