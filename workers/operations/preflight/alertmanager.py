"""Alertmanager: may we read what fires. Asked only where the workers were told of one; nothing else rests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.operations.health.questions import Answer, Question
from workers.report import Status
from workers.systems.errors import Unreachable
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings


def ask(asking: Asking) -> Answer:
    """What it says that fires; one that is away is a warning, because only alerts and silences need it."""
    try:
        firing = asking.systems.alertmanager.alerts()
    except Unreachable as error:
        return Answer(Status.WARN, f"{error} Until then nothing can be silenced.", unreachable=True)
    return Answer(Status.OK, "Alertmanager answers, and lets us read.", count(len(firing), "alert"))


def _look(settings: Settings) -> str:  # noqa: ARG001 - nothing in it is configured
    return 'curl "$MLFLOW_OPS_ALERTMANAGER_URL/api/v2/status"'


QUESTION = Question("alertmanager", "Alertmanager", "Alertmanager", ask, _look)
