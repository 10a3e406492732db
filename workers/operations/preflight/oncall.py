"""Who is called by `escalate`: somebody must be, at every hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.operations.health.questions import Answer, Question
from workers.report import Status

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings

_NAMED = "Name users or groups under escalation: in ops.yaml."


def ask(asking: Asking) -> Answer:
    """Whom ops.yaml names, and whether PagerDuty is told, too."""
    escalation = asking.settings.ops.escalation
    named = len({*escalation.team.ids, *escalation.devops.ids})
    pages = asking.settings.environment.pagerduty_key is not None
    figure = f"{named} named" + (" and PagerDuty" if pages else "")
    if not named and not pages:
        return Answer(Status.WARN, f"No one is on call: escalate would mention no one. {_NAMED}", figure)
    if not named:
        return Answer(Status.WARN, f"PagerDuty is told, but no one is mentioned in Slack. {_NAMED}", figure)
    return Answer(Status.OK, "Someone is on call at every hour.", figure)


def _look(settings: Settings) -> str:  # noqa: ARG001 - nothing in it is configured
    return 'mlflow-ops run "escalate a drill --dry-run"'


QUESTION = Question("on-call", "On call", "ops.yaml", ask, _look)
