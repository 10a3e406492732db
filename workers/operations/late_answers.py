"""A change that MLflow is asked for by one call: where its answer does not come, whether it was made is looked at.

Traps this avoids: MLflow is not told that its caller has gone and goes on, and some of its changes take as long as
there are runs (MLflow 3 deletes the runs of an experiment one after the other, with two statements each:
mlflow/store/tracking/sqlalchemy_store.py), so silence is no failure; a connection that breaks may have broken after
the change; a gateway that gives up (504) has passed it on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.systems.errors import TrackingBehindProxy, TrackingLate, TrackingTimeout, TrackingUnreachable
from workers.wording import duration

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems.mlflow.tracking import Tracking

LATE_SECONDS: Final = 60.0
"""How long a small change is waited for after its answer did not come."""
OF_MANY_RUNS_SECONDS: Final = 900.0
"""The same for an experiment with its runs: MLflow needs some milliseconds for each."""
ANSWER_SECONDS: Final = 50.0
"""How long the answer to a change of that kind is waited for."""
LOOK_SECONDS: Final = 2.0


def change(  # noqa: PLR0913 - the call, and how it is seen
    tracking: Tracking,
    method: str,
    body: dict[str, Any],
    made: Callable[[], bool],
    progress: Progress,
    *,
    verb: str = "POST",
    wait_seconds: float = LATE_SECONDS,
) -> None:
    """Make it, and come back when it is made.

    made: whether MLflow has it so now. wait_seconds: for how long that is looked at where no answer came.
    Raises as `Tracking.call` does where MLflow refused or was not reached, and OperatorError where it is not made when
    the time is over.
    """
    try:
        tracking.call(method, body, verb=verb)
    except (TrackingTimeout, TrackingLate):
        progress.step("MLflow has not answered yet: looking whether it was done")
        if not _made_within(wait_seconds, made):
            raise OperatorError(
                f"MLflow took the request and does not answer, and {duration(wait_seconds)} later it is not done.",
                "It may still happen: look again before you repeat it.",
            ) from None
    except (TrackingUnreachable, TrackingBehindProxy):
        if not _seen(made):
            raise


def _made_within(seconds: float, made: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not _seen(made):
        if time.monotonic() >= end:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _seen(made: Callable[[], bool]) -> bool:
    try:
        return made()
    except OperatorError:
        return False
