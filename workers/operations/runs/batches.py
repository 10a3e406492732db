"""Many runs a statement, in MLflow's own tables, at a pace that leaves MLflow responsive.

MLflow's answer is timed beside each batch: where it takes more than twice as long as it did at its best, the next batch
is half as large and waits as long as that answer took. Where MLflow does not answer at all (it is being restarted), the
work goes on: it needs the database only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.runs.pace import SLOWER
from workers.settings import SettingsError

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.runs.pace import Tally
    from workers.systems import Systems
    from workers.systems.mlflow.run_states import RunStates

FIRST: Final = 25
MOST: Final = 400
REST_AT_MOST: Final = 5.0
AWAY_SECONDS: Final = 0.5
WATCH_SECONDS: Final = 2.0


def states(systems: Systems, ids: Sequence[str]) -> RunStates | None:
    """MLflow's tables, where we have its database and it is the one that MLflow uses; else None."""
    from workers.systems.mlflow.run_states import RunStates

    try:
        found = RunStates(systems.database)
        return found if ids and found.knows(ids[0]) else None
    except (OperatorError, SettingsError):
        return None


def over(  # noqa: PLR0913 - what, how, and who is told
    systems: Systems,
    ids: Sequence[str],
    do: Callable[[Sequence[str]], set[str]],
    tally: Tally,
    progress: Progress,
    *,
    total: int,
) -> None:
    """Do it to all, batch by batch; what `do` does not name is counted as gone.

    tally: kept up to date. Raises what `do` raises, and Cancelled between two batches.
    """
    batch, at, usual = FIRST, 0, float("inf")
    while at < len(ids):
        progress.checkpoint()
        some = ids[at : at + batch]
        done = do(some)
        tally.done += len(done)
        tally.gone += [each for each in some if each not in done]
        at += len(some)
        progress.advance(tally.done + len(tally.gone), total, "runs")
        took = _answer(systems)
        usual = min(usual, took)
        if took > SLOWER * usual:
            batch = max(FIRST, batch // 2)
            time.sleep(min(REST_AT_MOST, took))
        else:
            batch = min(MOST, batch * 2)


def _answer(systems: Systems) -> float:
    """How long MLflow takes for a small question."""
    began = time.perf_counter()
    try:
        systems.tracking.within(WATCH_SECONDS).afresh().search_experiments()
    except OperatorError:
        time.sleep(AWAY_SECONDS)
        return WATCH_SECONDS
    return time.perf_counter() - began
