"""A report in a terminal, or in a file of plain text."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

from workers.report import Attachment, Report, Section, Status, Table, Text

if TYPE_CHECKING:
    from rich.console import Console

_STYLE = {Status.OK: ("ok", "green"), Status.WARN: ("warn", "yellow"), Status.FAIL: ("FAIL", "bold red")}


def to_terminal(report: Report, console: Console, *, details: bool = False) -> None:
    """Print a report: the verdict, a line per check, and what is behind those that are not ok (or all of it)."""
    from rich.table import Table as Grid
    from rich.text import Text as Line

    grid = Grid.grid(padding=(0, 2))
    for check in report.checks:
        word, style = _STYLE.get(check.status, ("unknown", "dim"))
        grid.add_row(Line(word, style=style), Line(check.title, style="bold"), Line(check.figure), Line(check.sentence))
    word, style = _STYLE.get(report.status, ("unknown", "dim"))
    console.print(Line.assemble((report.title, "bold"), "  ", (word, style), "  ", report.summary))
    console.print(grid)
    for each in report.lead:
        by = f" ({', '.join(each.by)})" if each.by else ""
        console.print(Line.assemble((f"{each.name}: " if each.name else "", "bold"), each.text + by))
    for offer in report.offers:
        console.print(Line.assemble(f"{offer.sentence}  ", (offer.url or f"/mlflow {offer.command}", "cyan")))
    for check in report.checks:
        if details or check.status is not Status.OK:
            console.print(Line.assemble("\n", (check.title, "bold"), f": {check.sentence}"))
            _sections_to_terminal(check.details, console)
            if check.look_further:
                console.print(Line(f"  $ {check.look_further}", style="cyan"))
    _sections_to_terminal(report.sections, console)
    for name, words in (("undo", report.undo), *(("next", hint) for hint in report.hints)):
        if words:
            console.print(Line(f"  {name}: mlflow-ops run {shlex.quote(words)}", style="dim"))
    _files_to_terminal(report.attachments, console)
    console.print(Line(f"\n{report.took_seconds:.1f} s", style="dim"))


def _sections_to_terminal(sections: Iterable[Section], console: Console) -> None:
    from rich.text import Text as Line

    for shown in sections:
        if shown.title:
            console.print(Line(f"  {shown.title}", style="italic"))
        if isinstance(shown, Table):
            _table_to_terminal(shown, console)
            continue
        lines = (
            shown.text.splitlines() if isinstance(shown, Text) else [f"{name}: {value}" for name, value in shown.items]
        )
        for line in lines:
            console.print(Line(f"  {line}"))


def _files_to_terminal(files: Iterable[Attachment], console: Console) -> None:
    from rich.text import Text as Line

    for file in files:
        if file.printed:
            # As it is: a line that the window is too narrow for is not broken.
            console.out(file.content.rstrip("\n"), highlight=False)
        else:
            rows = file.alt or f"{file.content.count(chr(10)):,} lines; --json has them"
            console.print(Line(f"  {file.filename}: {rows}", style="dim"))


def _table_to_terminal(table: Table, console: Console) -> None:
    from rich.table import Table as Grid
    from rich.text import Text as Line

    grid = Grid(box=None, padding=(0, 2), header_style="dim")
    for column in table.columns:
        grid.add_column(column, justify="right" if column in table.numeric else "left")
    for row in table.rows:
        grid.add_row(*(Line(cell) for cell in row))
    console.print(grid)
