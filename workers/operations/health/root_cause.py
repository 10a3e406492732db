"""One culprit, one red check: what a failure elsewhere explains is lowered, and says where to look.

MLflow cannot answer without its database, and its log fills with errors; the age of a backup cannot be read from an
object store that hangs. Somebody woken at night should see the cause in red and not its five shadows.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from workers.report import Check, Status
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.health.questions import Answer, Question

HEADLINE: Final = 104
"""Characters, of 120 with the longest title in front ("MLflow health: ")."""
LEAST: Final = 40
"""Characters of the worst check's sentence, however much is to be said behind it."""


def settle(answers: Mapping[str, tuple[Question, Answer]]) -> list[tuple[Question, Answer]]:
    """All answers after blame was laid, worst first; equals stay in the order in which they were given."""
    settled = [(question, _excused(question, answer, answers)) for question, answer in answers.values()]
    return sorted(settled, key=lambda pair: -pair[1].status.severity)


def summary(checks: tuple[Check, ...]) -> str:
    """The headline: the worst, how many more there are, and what to type next. `checks` are sorted worst first."""
    worst = checks[0]
    if worst.status is Status.OK and len(checks) > 1:
        return f"All {len(checks)} checks OK."
    if worst.status is Status.OK:
        figure = f"{worst.figure}. " if worst.figure and worst.figure not in worst.sentence else ""
        return textwrap.shorten(f"{figure}{worst.sentence}", HEADLINE, placeholder="…")
    # Checks that share a cause share its sentence: it is said once.
    others = {each.sentence: each.status for each in reversed(checks) if each.sentence != worst.sentence}
    numbers = Counter(others.values())
    words = {Status.FAIL: "failure", Status.WARN: "warning", Status.UNKNOWN: "unknown"}
    more = [
        _more(numbers[status], word, alike=status is worst.status) for status, word in words.items() if numbers[status]
    ]
    end = ("; " + ", ".join(more) if more else "") + "."
    following = f" Next: /mlflow {worst.command}" if worst.command else ""
    end += following if len(end) + len(following) + LEAST <= HEADLINE else ""
    sentence = worst.sentence.rstrip(".")
    return f"{textwrap.shorten(sentence, HEADLINE - len(end), placeholder='…')}{end}"


def _more(number: int, word: str, *, alike: bool) -> str:
    """As in "2 more failures", "1 warning", "3 unknown". alike: as the worst is."""
    said = f"{'more ' if alike else ''}{word}"
    return f"{number} {said}" if word == "unknown" else count(number, said)


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
