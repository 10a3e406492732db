"""A command in this process, as it would be typed after /mlflow: read, carried out, and its report.

What `mlflow-ops run` and `mlflow-ops shell` have in common. Nothing here prints or exits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands import grammar

if TYPE_CHECKING:
    from bot.process.progress import TerminalProgress
    from workers.operation import Operation
    from workers.report import Report
    from workers.systems import Systems

_PLAIN = re.compile(r"\S+")


class RefusedError(Exception):
    """The words ask for nothing that can be done here; it says what would be right."""


class StoppedError(Exception):
    """It was not carried out; it says why, and what is left."""


@dataclass(frozen=True)
class Asked:
    """What was asked for: an operation, or help, which is its text."""

    words: str
    operation: Operation | None
    help: str = ""


def joined(words: Sequence[str]) -> str:
    """The words of a shell as one line: a single one as it is; of several, those with spaces are put in quotes."""
    if len(words) == 1:
        return words[0]
    return " ".join(word if _PLAIN.fullmatch(word) else _quoted(word) for word in words)


def _quoted(word: str) -> str:
    mark = "'" if '"' in word else '"'
    return f"{mark}{word}{mark}"


def read(words: str, program: str) -> Asked:
    """What the words ask for. program: what stands before them. Raises RefusedError."""
    try:
        request = grammar.parse(words, program=program)
    except grammar.UsageError as error:
        raise RefusedError(f"{error}\n{error.usage}") from None
    if isinstance(request, grammar.Help):
        return Asked(words, None, request.text)
    if isinstance(request, grammar.BreakGlass):
        raise RefusedError("--break-glass is for Slack: here no one is asked for approval. Say --yes-by NAME.")
    return Asked(words, request)


def carried_out(asked: Asked, name: str | None, systems: Systems, progress: TerminalProgress) -> Report:
    """The report on it; of a change, its plan, unless a name says in whose name it is done. Raises StoppedError."""
    from workers.engine import performing
    from workers.errors import OperatorError
    from workers.operation import Cancelled
    from workers.report import Status

    assert asked.operation is not None
    try:
        report = performing.perform_here(asked.operation, asked.words, name, systems, progress, begins=progress.planned)
    except OperatorError as error:
        progress.over(error.message)
        raise StoppedError(str(error)) from None
    except Cancelled as cancelled:
        progress.over("stopped")
        raise StoppedError(f"It was stopped at a safe point. {cancelled.left}".rstrip()) from None
    progress.over(report.summary if report.status is Status.FAIL else "")
    return report
