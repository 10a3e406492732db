"""What Alertmanager says fires now, and what is silenced."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.alerts.notification import harmless
from workers.operations.alerts.store import AlertStore
from workers.report import Report, Status, Table
from workers.wording import NOTHING, count, duration

if TYPE_CHECKING:
    from workers.operations.alerts.group import Group
    from workers.systems import Systems

GroupId = Annotated[str, Field(pattern=r"^([0-9a-f]{10})?$")]
_ROWS: Final = 50
_ACTIVE: Final = "active"


class AlertsList(Operation):
    """What fires, and the silences. group: only the alerts of this one."""

    name: ClassVar[str] = "alerts-list"
    risk: ClassVar[Risk] = Risk.READ

    group: GroupId = ""

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Alerts"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask Alertmanager. Raises OperatorError where it cannot be asked, or there is no such group."""
        progress.step("Asking Alertmanager")
        groups = AlertStore(systems.redis).groups()
        only = next((each for each in groups if each.id == self.group), None)
        if self.group and only is None:
            raise OperatorError(f"There is no alert group {self.group}.", "See /mlflow alerts list.")
        alerts = [each for each in systems.alertmanager.alerts() if only is None or _is_of(each, only)]
        silences = [each for each in systems.alertmanager.silences() if _state(each) == _ACTIVE]
        now = datetime.now(UTC)
        alerts.sort(key=lambda each: str(each.get("startsAt", "")))
        quiet = sum(1 for each in alerts if _state(each) == "suppressed")
        known = {each.id: each for each in groups if each.over is None}
        rows = tuple(_row(each, known.values(), now) for each in alerts[:_ROWS])
        columns = ("alert", "severity", "for", "state", "what", "fingerprint", "group")
        sections = [Table(title="Alerts", columns=columns, rows=rows)] if rows else []
        if silences:
            shown = tuple(_silence(each) for each in silences[:_ROWS])
            sections.append(Table(title="Silences", columns=("silence", "of", "until (UTC)", "by", "why"), rows=shown))
        silenced = f", {quiet} of them silenced" if quiet else ""
        left = f"; the {_ROWS} oldest are shown" if len(alerts) > _ROWS else ""
        summary = f"{count(len(alerts), 'alert')} firing{silenced}{left}." if alerts else "Nothing fires."
        return Report(
            title=self.title,
            status=Status.WARN if len(alerts) > quiet else Status.OK,
            summary=summary,
            sections=tuple(sections),
            hints=("alerts silence GROUP --for 2h", *(("alerts unsilence ID",) if silences else ())),
        )


def labels(alert: dict[str, Any]) -> dict[str, str]:
    """The labels of an alert or the like as Alertmanager has them, as they are."""
    found = alert.get("labels")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def time_of(text: object) -> datetime | None:
    """A time as Alertmanager writes it; None where it is none."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _is_of(alert: dict[str, Any], group: Group) -> bool:
    return bool(group.matchers) and group.matchers.items() <= harmless(labels(alert)).items()


def _state(thing: dict[str, Any]) -> str:
    status = thing.get("status")
    return str(status.get("state", "")) if isinstance(status, dict) else ""


def _row(alert: dict[str, Any], groups: Any, now: datetime) -> tuple[str, ...]:
    bears = harmless(labels(alert))
    began = time_of(alert.get("startsAt"))
    what = ", ".join(f"{name}={value}" for name, value in bears.items() if name not in {"alertname", "severity"})
    return (
        bears.get("alertname", NOTHING),
        bears.get("severity", NOTHING),
        duration((now - began).total_seconds()) if began else NOTHING,
        "silenced" if _state(alert) == "suppressed" else _state(alert),
        what or NOTHING,
        str(alert.get("fingerprint", NOTHING))[:32],
        next((each.id for each in groups if _is_of(alert, each)), NOTHING),
    )


def _silence(silence: dict[str, Any]) -> tuple[str, ...]:
    until = time_of(silence.get("endsAt"))
    return (
        str(silence.get("id", ""))[:36],
        ", ".join(map(_matcher, silence.get("matchers") or ())),
        f"{until:%d %b %H:%M}" if until else NOTHING,
        *harmless({"by": str(silence.get("createdBy", "")), "why": str(silence.get("comment", ""))}).values(),
    )


def _matcher(each: Any) -> str:
    """As Alertmanager's own page writes it."""
    if not isinstance(each, dict):
        return NOTHING
    signs = {(True, False): "=", (True, True): "=~", (False, False): "!=", (False, True): "!~"}
    sign = signs[bool(each.get("isEqual", True)), bool(each.get("isRegex"))]
    return f"{each.get('name')}{sign}{each.get('value')}"
