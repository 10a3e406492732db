"""A report in a terminal, in a pipe, or in a file of plain text.

In a window, lines are wrapped and tables fitted to it; in a pipe each row is one line, as long as it is. Rich leaves
colors out where they would not be seen, and where NO_COLOR is set (https://no-color.org).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from workers.rendering import grid, visuals
from workers.report import Attachment, Chart, Check, Facts, Links, Report, Section, Status, Table, Text

if TYPE_CHECKING:
    from rich.console import Console

_STYLE: Final = {Status.OK: ("ok", "green"), Status.WARN: ("warn", "yellow"), Status.FAIL: ("FAIL", "bold red")}
_UNKNOWN: Final = ("unknown", "dim")
_INDENT: Final = "  "


def to_terminal(report: Report, console: Console, *, details: bool = False, wide: bool = False) -> None:
    """Print a report: the verdict, a line per check, and what is behind those that are not ok (or all of it).

    wide: no column is left out, however narrow the window is.
    """
    _Printed(console, wide=wide).report(report, details=details)


class _Printed:
    """What prints onto one console. width: None where nothing is to be wrapped."""

    def __init__(self, console: Console, *, wide: bool) -> None:
        self._console = console
        self._width = console.width if console.is_terminal and not wide else None

    def report(self, report: Report, *, details: bool) -> None:
        word, style = _STYLE.get(report.status, _UNKNOWN)
        self._line((report.title, "bold"), "  ", (word, style), "  ", report.summary)
        self._checks(report.checks)
        for each in report.lead:
            by = f" ({', '.join(each.called or each.by)})" if each.by else ""
            self._line((f"{each.name}: " if each.name else "", "bold"), each.text + by)
        for offer in report.offers:
            self._line(f"{offer.sentence}  ", (offer.url or f"mlflow-ops run {shlex.quote(offer.command)}", "cyan"))
        for check in report.checks:
            if details or check.status is not Status.OK:
                self._line("\n", (check.title, "bold"), f": {check.sentence}")
                self._sections(check.details)
                if check.look_further:
                    self._line((f"{_INDENT}{_prompt(check.look_further)}{check.look_further}", "cyan"))
        self._sections(report.sections)
        for name, words in (("undo", report.undo), *(("next", hint) for hint in report.hints)):
            if words:
                self._line((f"{_INDENT}{name}: mlflow-ops run {shlex.quote(words)}", "dim"))
        self._files(report.attachments)
        self._line((f"\n{report.took_seconds:.1f} s", "dim"))

    def _line(self, *parts: str | tuple[str, str]) -> None:
        from rich.text import Text as Line

        self._console.print(Line.assemble(*parts), soft_wrap=self._width is None)

    def _checks(self, checks: Iterable[Check]) -> None:
        """A line each. In a window that is too narrow for its figure's own column, the figure begins its sentence."""
        known = list(checks)
        if not known:
            return
        words = [_STYLE.get(check.status, _UNKNOWN) for check in known]
        columns = ("", "check", "figure", "answer")
        rows = [
            (word, check.title, check.figure, check.sentence) for (word, _), check in zip(words, known, strict=True)
        ]
        made = grid.fitted(Table(columns=columns, rows=tuple(rows)), self._width)
        if made.left_out:
            short = tuple((word, title, f"{figure}  {sentence}".strip()) for word, title, figure, sentence in rows)
            made = grid.fitted(Table(columns=("", "check", "answer"), rows=short), self._width)
        styles = dict(words)
        style = "dim"
        for first, second, *others in made.lines[1:]:
            style = styles.get(first.strip(), style)
            self._cells((first, style), (second, "bold"), *((each, "") for each in others))

    def _cells(self, *cells: tuple[str, str]) -> None:
        """One line of a grid. It is as wide as it must be: what does not fit is the window's to wrap."""
        from rich.text import Text as Line

        gap = " " * grid.GAP
        line = Line.assemble(*(part for cell in cells for part in (cell, gap)))
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    def _sections(self, sections: Iterable[Section]) -> None:
        for shown in sections:
            if shown.title:
                self._line((f"{_INDENT}{shown.title}", "italic"))
            if isinstance(shown, Table):
                self._table(shown)
                continue
            for line in _lines(shown):
                self._line(f"{_INDENT}{line}")

    def _table(self, table: Table) -> None:
        room = None if self._width is None else self._width - len(_INDENT)
        made = grid.fitted(table, room)
        for number, cells in enumerate(made.lines):
            self._cells(("", ""), *((cell, "" if number else "dim") for cell in cells))
        if made.left_out:
            said = f"{_INDENT}not shown for want of room: {', '.join(made.left_out)} (-o wide)"
            self._line((said, "dim"))

    def _files(self, files: Iterable[Attachment]) -> None:
        for file in files:
            if file.printed:
                # As it is: a line that the window is too narrow for is not broken.
                self._console.out(file.content.rstrip("\n"), highlight=False)
            else:
                form = "csv" if file.filename.endswith(".csv") else "json"
                rows = file.alt or f"{file.content.count(chr(10)):,} lines; -o {form} has them"
                self._line((f"{_INDENT}{file.filename}: {rows}", "dim"))


def _lines(shown: Facts | Links | Text | Chart) -> list[str]:
    match shown:
        case Text(text=text):
            return text.splitlines()
        case Chart():
            return visuals.in_words(shown)
        case _:
            return [f"{name}: {value}" for name, value in shown.items]


def _prompt(look_further: str) -> str:
    """Before a command, and not before an address."""
    return "" if "://" in look_further.partition(" ")[0] else "$ "
