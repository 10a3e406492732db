"""Which runs an archiving takes, and which it leaves and why.

All pages are read: whoever takes the first one only, as a single call of search_runs does, misses what is beyond 1,000
runs without a word. Runs of deleted experiments are not looked at: they are deleted already.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.runs import sources
from workers.settings import SettingsError
from workers.systems.mlflow import contents
from workers.wording import count

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.runs.finding import Run
    from workers.systems import Systems
    from workers.systems.mlflow.run_rows import RunRow

UNDER_WAY: Final = frozenset({"RUNNING", "SCHEDULED"})
_EXAMPLES: Final = 3


@dataclass
class Skipped:
    """Runs that stay for one reason. examples: the first of them."""

    runs: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def named(self) -> str:
        """The examples, and how many there are besides."""
        rest = self.runs - len(self.examples)
        return ", ".join(self.examples) + (f" and {rest:,} more" if rest else "")

    def told(self, why: str) -> str:
        """A sentence about all of them."""
        return f"{count(self.runs, 'run')} {'stays' if self.runs == 1 else 'stay'}, because {why}: {self.named}."

    def add(self, called: str) -> None:
        """One more."""
        self.runs += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(called)


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of a run that is taken."""

    id: str
    experiment: str
    start_ms: int


@dataclass
class Selection:
    """rows: what is taken. left: what stays, by reason. experiments: names by id."""

    rows: list[Row] = field(default_factory=list)
    left: dict[str, Skipped] = field(default_factory=dict)
    experiments: dict[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """The ids of what is taken, in order."""
        return sorted(row.id for row in self.rows)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the ids: equal where the same runs are taken."""
        return fingerprint(self.ids)

    def by_experiment(self) -> dict[str, int]:
        """How many of each experiment, by its name, most first."""
        counted: dict[str, int] = {}
        for row in self.rows:
            counted[row.experiment] = counted.get(row.experiment, 0) + 1
        named = {self.experiments[key]: number for key, number in counted.items()}
        return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))


def fingerprint(ids: list[str]) -> str:
    """SHA-256 over sorted ids."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def choose(systems: Systems, wanted: sources.ArchiveFilter, progress: Progress) -> Selection:
    """Read all runs that began before that moment. Raises OperatorError where the experiment is not there."""
    source = sources.older(systems, wanted)
    chosen = Selection(experiments=source.experiments)
    for number, run in enumerate(source.runs, 1):
        if number % 1000 == 0:
            progress.checkpoint()
            progress.advance(number, 0, "runs")
        why = _stays(run, wanted, source.registered)
        if why:
            of = source.registered.get(run.id)
            chosen.left.setdefault(why, Skipped()).add(f"{run.called} → {of}" if of else run.called)
        else:
            chosen.rows.append(Row(run.id, run.experiment, run.start_ms or 0))
    return chosen


def of_runs(systems: Systems, ids: list[str], what: str) -> tuple[str, ...]:
    """What has come of these runs and is not done anything to, as a sentence; none where there is nothing, or it cannot
    be counted. what: is said of it.
    """
    try:
        found = contents.of_runs(systems.database, ids)
    except (OperatorError, SettingsError):
        return ()
    return (f"{' and '.join(found)} of these runs {what}.",) if found else ()


def _stays(run: Run | RunRow, wanted: sources.ArchiveFilter, registered: dict[str, str]) -> str:
    """Why a run is not taken; empty where it is."""
    if run.id in registered:
        return "a registered model version refers to it"
    if run.status in UNDER_WAY:
        return "it is running"
    for key, value in wanted.except_tags:
        if key in run.tags and value in {None, run.tags[key]}:
            return f"its tag {key} is {run.tags[key]}"
    if wanted.statuses and run.status not in wanted.statuses:
        return f"its status is {run.status}"
    return ""
