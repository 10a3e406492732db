"""What stays the same of a report from one world to another: its words, without figures, ids, moments and names.

What is left out is of a kind, never of a command: numbers with their units (which may be words: no, one), what a
cluster or we ourselves name by chance, days and months, the cells of the row that a report tells of, and which of its
checks it finds the worst. What only looks may find the world otherwise than it was, and says so: only a change's
verdict is compared.
"""

import re

from workers.errors import OperatorError
from workers.operation import Plan, Risk
from workers.operations.health import root_cause
from workers.report import Report, Table

POD = r"[a-z0-9]{6,10}-[a-z0-9]{5}\b"
HEX = r"[0-9a-f]{6,}"
UNIT = r"ms|s|min|h|d|days?|B|[KMGTP]iB|%|m"
NUMBER = rf"[0-9][0-9.,:]*( ?({UNIT})(?!\w))*"
MOMENT = r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b"
AMOUNT = r"\b([Oo]ne|[Aa]n?|[Nn]o|[Nn]one)\b"
MOVES = re.compile(f"{POD}|{HEX}|{NUMBER}|{MOMENT}|{AMOUNT}")
AGREES = {"is": "be", "are": "be", "was": "were", "has": "have"}


def alike(asked, now, before):
    """Whether an operation, asked for again, says the same."""
    if not (isinstance(now, Report) and isinstance(before, Report)):
        return before is not None and of(now) == of(before)
    agree = now.status is before.status
    return (agree or asked.risk is Risk.READ) and of(now, whole=agree) == of(before, whole=agree)


def of(what, *, whole=True):
    """What of it is compared: its frame, the checks' names, the tables' columns, the steps of a plan. whole: of a
    report, more than its title and its checks.
    """
    if isinstance(what, OperatorError):
        return ("refused", frame(what.message), frame(what.hint))
    if isinstance(what, Plan):
        return ("plan", frame(what.title), frame(what.summary), [frame(each) for each in what.steps])
    checks = sorted(check.name for check in what.checks)
    if not whole or what.lead:
        return ("report", frame(what.title), checks, [each.name for each in what.lead])
    tables = [each for each in what.sections if isinstance(each, Table)]
    rows = [row for each in tables for row in each.rows if str(row[each.identity]) in what.summary]
    summary = what.summary.replace(root_cause.summary(what.checks), "#") if what.checks else what.summary
    columns = [[frame(name) for name in each.columns] for each in tables]
    return ("report", frame(what.title), checks, frame(summary, {str(cell) for row in rows for cell in row}), columns)


def frame(text, names=()):
    """The words of a sentence. names: of what it may tell of. A word that agrees with a figure in number agrees with
    any.
    """
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "#", text, flags=re.IGNORECASE)
    words = re.findall(r"\w+|[^\w]", MOVES.sub("#", text))
    same = "".join(AGREES.get(word, word.removesuffix("s")) for word in words)
    return re.sub(r"(# ?)+", "# ", same).strip()
