"""One culprit, one red check: what a failure elsewhere explains is lowered, and says where to look.

MLflow cannot answer without its database, and its log fills with errors; the age of a backup cannot be read from an
object store that hangs. Somebody woken at night should see the cause in red and not its five shadows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from workers.report import Check, Status
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.health.questions import Answer, Question


def settle(answers: Mapping[str, tuple[Question, Answer]]) -> list[tuple[Question, Answer]]:
    """All answers after blame was laid, worst first; equals stay in the order in which they were given."""
    settled = [(question, _excused(question, answer, answers)) for question, answer in answers.values()]
    return sorted(settled, key=lambda pair: -pair[1].status.severity)


def summary(checks: tuple[Check, ...]) -> str:
    """The one sentence that stands alone. `checks` are sorted worst first."""
    of = {status: [check for check in checks if check.status is status] for status in Status}
    if len(of[Status.OK]) == len(checks):
        return "The check is ok." if len(checks) == 1 else f"All {len(checks)} checks are ok."
    # Checks that share a cause share its sentence: it is said once.
    failures = list(dict.fromkeys(check.sentence.rstrip(".") for check in of[Status.FAIL]))
    parts = failures[:3]
    if len(failures) > len(parts):
        parts.append(count(len(failures) - len(parts), "more failure"))
    warnings, unknown = of[Status.WARN], of[Status.UNKNOWN]
    if not failures and len(warnings) == 1:
        parts.append(warnings[0].sentence.rstrip("."))
    elif warnings:
        parts.append(count(len(warnings), "warning"))
    if unknown:
        parts.append(f"{len(unknown)} unknown")
    if not failures and of[Status.OK]:
        parts.append(f"{len(of[Status.OK])} ok")
    return "; ".join(parts) + "."


def _excused(question: Question, answer: Answer, answers: Mapping[str, tuple[Question, Answer]]) -> Answer:
    if answer.status is not Status.FAIL:
        return answer
    spokesman = answers.get(question.spokesman)
    if answer.unreachable and spokesman and spokesman[1].unreachable:
        return replace(answer, status=Status.UNKNOWN)
    if answer.own_fault:
        return answer
    for name in question.rests_on:
        if name in answers and answers[name][1].status is Status.FAIL:
            status = Status.UNKNOWN if answer.unreachable else Status.WARN
            sentence = f"{answer.sentence.rstrip('.')}; see the {answers[name][0].title} check."
            return replace(answer, status=status, sentence=sentence)
    return answer
