"""What a recovery tells at its end: each step with its time, and what was lost against what may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.report import Facts, Report, Status
from workers.wording import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.errors import OperatorError

DONE, SKIPPED, FAILED, LEFT = "done", "skipped, because it is so already", "FAILED", "not reached"
TITLE: Final = "Recover MLflow"

Told = tuple[str, str, str, str]
"""A step: its name, how it ended, what it said, how long it took."""


def stopped(told: Sequence[Told], problem: OperatorError, took: float, again: str) -> Report:
    """It has stopped at a step. again: the command that goes on."""
    return Report(
        title=TITLE,
        status=Status.FAIL,
        summary=f"It stopped after {duration(took)}: {problem.message} {problem.hint}".strip()
        + " Ask again once that is mended: it goes on from there.",
        sections=(_steps(told),),
        hints=(again, "health"),
    )


def done(told: Sequence[Told], as_of: str, seconds: tuple[float, float], aims: tuple[float, float]) -> Report:
    """MLflow is back as it was at `as_of`. seconds: that it took, and that were lost. aims: what both may be."""
    (took, lost), (allowed, point) = seconds, aims
    within = "within" if took <= allowed else "more than"
    return Report(
        title=TITLE,
        status=Status.OK if took <= allowed else Status.WARN,
        summary=f"MLflow is back after {duration(took)}, {within} the {duration(allowed)} aimed at. It is as it was at "
        f"{as_of}; what was written in the {duration(lost)} after that is lost, "
        f"{'within' if lost <= point else 'more than'} the {duration(point)} that may be.",
        sections=(_steps(told),),
        hints=("health", "backup"),
    )


def _steps(told: Sequence[Told]) -> Facts:
    return Facts(items=tuple((name, _told(outcome, what, seconds)) for name, outcome, what, seconds in told))


def _told(outcome: str, what: str, took: str) -> str:
    if outcome == LEFT:
        return outcome
    return f"{outcome} in {took}: {what}" if outcome != SKIPPED else outcome
