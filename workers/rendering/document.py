"""Report → a document for programs: what `-o json` and `-o yaml` print, and docs/report.schema.json describes.

A table's rows and a report's facts bear keys; a figure is its number (bytes, seconds, a part of 1) or its moment in ISO
8601, what there is not is null, and a verdict is a word out of four. The trap: a key is a promise. It follows from the
column's name, so a column that holds the same thing is always called the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

from pydantic import JsonValue, TypeAdapter

from workers.report import Attachment, Chart, Data, Facts, Lead, Links, Offer, Report, Section, Status, Table, Text
from workers.wording import NOTHING, Figure, Unit

Value = str | int | float | None
_ASIDE: Final = re.compile(r"\([^)]*\)")
_NO_KEY: Final = re.compile(r"[^\w./-]+")


class Column(Data):
    """A column: the key that its cells have in each row, its heading, and what its figures are counted in."""

    key: str
    name: str
    unit: Unit | None = None


class Rows(Data):
    """A table. by: the key of the column that says which row it is."""

    kind: Literal["table"] = "table"
    title: str = ""
    by: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Value], ...]


class Items(Data):
    """Facts by their keys. units: of those that are figures."""

    kind: Literal["facts"] = "facts"
    title: str = ""
    items: dict[str, Value]
    units: dict[str, Unit]


Part = Items | Rows | Text | Links | Chart


class Answer(Data):
    """A check. figure: its number in words; figures: its numbers, in base units. command: what to ask next, as it would
    be typed after `/mlflow`.
    """

    name: str
    title: str
    status: Status
    figure: str
    sentence: str
    look_further: str
    command: str
    details: tuple[Part, ...]
    figures: dict[str, float]
    notes: dict[str, tuple[str, ...]]
    took_seconds: float


class Document(Data):
    """A report. hints: commands that make sense next; undo: the one that goes back."""

    version: Literal[1] = 1
    title: str
    status: Status
    summary: str
    checks: tuple[Answer, ...]
    sections: tuple[Part, ...]
    lead: tuple[Lead, ...]
    offers: tuple[Offer, ...]
    hints: tuple[str, ...]
    undo: str
    attachments: tuple[Attachment, ...]
    took_seconds: float


def of(report: Report) -> Document:
    """The report as data."""
    checks = tuple(
        Answer.model_validate(_fields(check) | {"details": tuple(map(part, check.details))}) for check in report.checks
    )
    sections = tuple(map(part, report.sections))
    own = {name: value for name, value in _fields(report).items() if name in Document.model_fields}
    return Document.model_validate(own | {"checks": checks, "sections": sections})


def plain(report: Report) -> dict[str, JsonValue]:
    """The same as JSON's own types."""
    return of(report).model_dump(mode="json")


def schema() -> dict[str, Any]:
    """The document's JSON Schema (https://json-schema.org/draft/2020-12)."""
    made = TypeAdapter(Document).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def part(shown: Section) -> Part:
    """A section as data. A column without a heading is a decoration, and is left out."""
    if isinstance(shown, Table):
        return _rows(shown)
    if isinstance(shown, Facts):
        named = list(zip(keys(name for name, _ in shown.items), (said for _, said in shown.items), strict=True))
        units = {key: said.unit for key, said in named if isinstance(said, Figure)}
        return Items(title=shown.title, items={key: value(said) for key, said in named}, units=units)
    return shown


def _rows(table: Table) -> Rows:
    named = list(keys(table.columns))
    taken = [at for at, name in enumerate(table.columns) if name.strip()]
    columns = tuple(
        Column(key=named[at], name=table.columns[at].strip(), unit=_unit(row[at] for row in table.rows)) for at in taken
    )
    rows = tuple({named[at]: value(row[at]) for at in taken} for row in table.rows)
    return Rows(title=table.title, by=named[table.identity], columns=columns, rows=rows)


def keys(names: Iterable[str]) -> Iterator[str]:
    """What names are called in a document: `begun (UTC)` is begun; one that comes again bears its number."""
    met: set[str] = set()
    for name in names:
        key = wanted = _NO_KEY.sub("_", _ASIDE.sub("", name).strip()).strip("_") or "_"
        number = 1
        while key in met:
            number += 1
            key = f"{wanted}_{number}"
        met.add(key)
        yield key


def value(said: str) -> Value:
    """What a cell stands for."""
    if isinstance(said, Figure):
        known = isinstance(said.value, str) or math.isfinite(said.value)
        return said.value if known else str(said)
    return None if said in {NOTHING, ""} else str(said)


def _unit(cells: Iterable[str]) -> Unit | None:
    found = {cell.unit for cell in cells if isinstance(cell, Figure)}
    return found.pop() if len(found) == 1 else None


def _fields(data: Data) -> dict[str, Any]:
    return {name: getattr(data, name) for name in type(data).model_fields}
