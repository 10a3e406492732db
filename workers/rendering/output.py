"""A report on standard output, in the form that was asked for: the forms that `kubectl -o` knows, and CSV."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from workers.rendering import document
from workers.report import Report, Status, Table

if TYPE_CHECKING:
    from typing import TextIO


class Form(StrEnum):
    """What `-o` may say. WIDE leaves no column out, NAME is one name a line, CSV the first table."""

    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    CSV = "csv"


WELL, FAILED, USAGE, UNKNOWN = 0, 1, 2, 3


def exit_code(report: Report) -> int:
    """0: well, or with warnings; 1: something failed; 3: nothing failed, but not everything could be asked."""
    if report.status is Status.FAIL:
        return FAILED
    asked = {report.status, *(check.status for check in report.checks)}
    return UNKNOWN if Status.UNKNOWN in asked else WELL


def write(report: Report, form: Form | None, stream: TextIO, *, details: bool = False) -> None:
    """Print a report. form: None for people."""
    if form is Form.JSON:
        stream.write(json.dumps(document.plain(report), indent=2, ensure_ascii=False) + "\n")
    elif form is Form.YAML:
        import yaml

        yaml.safe_dump(document.plain(report), stream, sort_keys=False, allow_unicode=True, width=1000)
    elif form is Form.NAME:
        stream.writelines(f"{each}\n" for each in names(report))
    elif form is Form.CSV:
        stream.write(csv_of(report))
    else:
        from rich.console import Console

        from workers.rendering.terminal import to_terminal

        to_terminal(report, Console(file=stream, highlight=False), details=details, wide=form is Form.WIDE)


def names(report: Report) -> list[str]:
    """What the rows of its tables are called, or its checks where it has no table: each may be typed in a command."""
    tables = _alike(report)
    if tables:
        return [str(document.value(row[table.identity])) for table in tables for row in table.rows]
    return [check.name for check in report.checks]


def csv_of(report: Report) -> str:
    """Its first table and those with the same columns, or its checks, with values as in JSON; or the CSV file that it
    comes with, which has all rows.
    """
    import csv
    from io import StringIO

    whole = next((file.content for file in report.attachments if file.filename.endswith(".csv")), None)
    if whole is not None:
        return whole
    page = StringIO()
    writer = csv.writer(page, lineterminator="\n")
    parts = [part for table in _alike(report) if isinstance(part := document.part(table), document.Rows)]
    if parts:
        keys = [column.key for column in parts[0].columns]
        writer.writerow(keys)
        writer.writerows([row[key] for key in keys] for part in parts for row in part.rows)
    elif report.checks:
        writer.writerow(("name", "status", "figure", "sentence"))
        writer.writerows((each.name, each.status.value, each.figure, each.sentence) for each in report.checks)
    return page.getvalue()


def _alike(report: Report) -> list[Table]:
    tables = [section for section in report.sections if isinstance(section, Table)]
    return [table for table in tables if table.columns == tables[0].columns]
