"""What PagerDuty is told of an incident, where its key is set. That it cannot be told stops nothing: it is said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from workers.errors import OperatorError
from workers.operations.incident.account import person
from workers.records.store import Records

if TYPE_CHECKING:
    from workers.operations.incident.store import Incident
    from workers.systems import Systems
    from workers.systems.pagerduty import Action

SUMMARY_CHARACTERS: Final = 1024
"""https://developer.pagerduty.com/docs/send-alert-event"""

_log = structlog.get_logger(__name__)


def trigger(systems: Systems, incident: Incident, what: str, by: str) -> str:
    """Page, or add to what was paged: what came of it, empty without a key."""
    names = systems.settings.ops.kubernetes
    record = Records(systems.redis).get(incident.id)
    link = [{"href": record.permalink, "text": "The thread in Slack"}] if record and record.permalink else []
    payload = {
        "summary": f"MLflow: {what}"[:SUMMARY_CHARACTERS],
        "source": f"{names.namespace}/{names.deployment}",
        "severity": "critical",
        "component": "mlflow",
        "timestamp": datetime.now(UTC).isoformat(),
        "custom_details": {"escalated by": person(by), "on call": incident.on_call, "incident": incident.id},
    }
    return _told(systems, "trigger", incident, "was told", payload=payload, links=link, client="mlflow-ops")


def acknowledge(systems: Systems, incident: Incident) -> str:
    """Say that somebody is on it."""
    return _told(systems, "acknowledge", incident, "knows that someone is on it")


def resolve(systems: Systems, incident: Incident) -> str:
    """Say that it is over."""
    return _told(systems, "resolve", incident, "knows that it is over")


def fact(said: str) -> tuple[tuple[str, str], ...]:
    """As a line of a report."""
    return (("PagerDuty", said),) if said else ()


def _told(systems: Systems, action: Action, incident: Incident, well: str, **more: Any) -> str:
    from workers.systems.pagerduty import Pager

    pager = Pager.connect(systems.settings)
    if pager is None:
        return ""
    try:
        pager.send(action, incident.id, **more)
    except OperatorError as error:
        _log.error("PagerDuty was not told", action=action, why=error.message)
        return f"was not told. {error}"
    return well
