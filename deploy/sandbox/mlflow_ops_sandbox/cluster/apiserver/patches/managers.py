"""Who owns which field: ``metadata.managedFields``, kept up with every write.

A field belongs to whoever set it last by an update, and to everybody who applies it. An update that takes a field
over takes it from those who only updated it, and from appliers too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.apiserver.patches.field_sets import Path, changed_set, from_fields_v1, to_fields_v1
from mlflow_ops_sandbox.cluster.apiserver.schema.types import Type


@dataclass(frozen=True, slots=True)
class Manager:
    """Somebody who writes, and how."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def sentence(self) -> str:
        """Return how a conflict names it."""
        said = f'"{self.name}"'
        if self.subresource:
            said += f' with subresource "{self.subresource}"'
        return f"{said} using {self.api_version}" if self.operation == "Update" else said


@dataclass(slots=True)
class Entry:
    """What one manager owns."""

    manager: Manager
    fields: set[Path]
    time: str


def entries_of(item: Object) -> list[Entry]:
    """Read managedFields."""
    found: list[Entry] = []
    for entry in item["metadata"].get("managedFields") or ():
        manager = Manager(
            entry.get("manager", ""), entry["operation"], entry.get("apiVersion", ""), entry.get("subresource", "")
        )
        found.append(Entry(manager, from_fields_v1(entry.get("fieldsV1") or {}), entry.get("time", "")))
    return found


def write_entries(item: Object, entries: list[Entry]) -> None:
    """Write managedFields; managers that own nothing are left out."""
    written: list[dict[str, Any]] = []
    ordered = sorted(entries, key=lambda entry: (entry.manager.operation != "Apply", entry.time))
    for entry in ordered:
        if not entry.fields:
            continue
        body: dict[str, Any] = {
            "manager": entry.manager.name,
            "operation": entry.manager.operation,
            "apiVersion": entry.manager.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(entry.fields),
        }
        if entry.manager.subresource:
            body["subresource"] = entry.manager.subresource
        written.append(body)
    if written:
        item["metadata"]["managedFields"] = written
    else:
        item["metadata"].pop("managedFields", None)


def record_update(before: Object, after: Object, kind: Type, manager: Manager, now: str) -> None:
    """Give what an update has changed to its manager; ``after`` is edited."""
    changed, removed = changed_set(before, after, kind)
    if not changed and not removed:
        return
    entries = entries_of(after)
    for entry in entries:
        if entry.manager != manager:
            entry.fields -= changed
        entry.fields = {path for path in entry.fields if not _is_gone(path, removed)}
    mine = next((entry for entry in entries if entry.manager == manager), None)
    if mine is None:
        mine = Entry(manager, set(), now)
        entries.append(mine)
    mine.fields |= changed
    mine.time = now
    write_entries(after, entries)


def _is_gone(path: Path, removed: set[Path]) -> bool:
    return any(path[:length] in removed for length in range(1, len(path) + 1))
