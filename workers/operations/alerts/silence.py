"""Silencing a group of alerts, or one alert, in Alertmanager; and ending a silence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from workers.engine import locks
from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.alerts.group import Silence
from workers.operations.alerts.show import labels, time_of
from workers.operations.alerts.store import AlertStore
from workers.records.store import Records
from workers.report import Facts, Report, Status
from workers.wording import duration

if TYPE_CHECKING:
    from workers.operations.alerts.group import Group
    from workers.systems import Systems

GROUP_CHARACTERS: Final = 10
TARGET: Final = "alerts"
LONGEST_SECONDS: Final = 30 * 86_400
_HIDDEN: Final = "***"
_CUT: Final = "…"


class AlertsSilence(Operation):
    """Silence what fires. target: an alert group's id, or one alert's fingerprint. seconds: for how long."""

    name: ClassVar[str] = "alerts-silence"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (TARGET,)

    target: Annotated[str, Field(pattern=r"^([0-9a-f]{10}|[0-9a-f]{16})$")]
    seconds: Annotated[float, Field(ge=60, le=LONGEST_SECONDS)] = 7200
    why: Annotated[str, Field(max_length=300)] = ""

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Silence"

    def plan(self, systems: Systems) -> Plan:
        """Raises AlreadySo where it is silenced, OperatorError where there is nothing of that id."""
        matchers = self._matchers(systems)
        there = next((each for each in _active(systems) if _same(each, matchers)), None)
        if there is not None:
            until = time_of(there.get("endsAt"))
            raise AlreadySo(
                f"It is silenced already{f', until {until:%d %b %H:%M} UTC' if until else ''}.",
                f"End that first: /mlflow alerts unsilence {there.get('id')}.",
            )
        what = _written(matchers)
        return Plan(
            title=self.title,
            summary=f"of {what} for {duration(self.seconds)}",
            steps=("Make the silence in Alertmanager", "Say so in the alert's thread"),
            changes=(Change(what=f"silence of {what}", before="none", after=f"for {duration(self.seconds)}"),),
            undo="/mlflow alerts unsilence with the id that it gets",
            facts={"matchers": dict(matchers)},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Make it; the group's thread is told."""
        progress.step("Making the silence", of="Make the silence")
        matchers = self._matchers(systems)
        by, said = _who(systems)
        begins = datetime.now(UTC)
        ends = begins + timedelta(seconds=self.seconds)
        why = self.why or "no reason was given"
        made = systems.alertmanager.create(matchers, begins, ends, said, f"{why} (asked by {said} through mlflow-ops)")
        progress.step("Telling the alert's thread", of="Say so")
        keeping = AlertStore(systems.redis)
        silence = Silence(id=made, until=ends.timestamp(), by=by, why=self.why)
        keeping.silenced(self.target, silence, begins.timestamp())
        until = ends.astimezone(systems.settings.ops.zone)
        facts = Facts(items=(("of", _written(matchers)), ("until", f"{until:%a %d %b %H:%M %Z}"), ("why", why)))
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"{_written(matchers)} is silent until {until:%H:%M %Z}.",
            sections=(facts,),
            undo=f"alerts unsilence {made}",
        )

    def _matchers(self, systems: Systems) -> dict[str, str]:
        """The labels that are silenced. Raises OperatorError."""
        if len(self.target) == GROUP_CHARACTERS:
            return self._of_group(AlertStore(systems.redis).group(self.target)[1])
        found = next((each for each in systems.alertmanager.alerts() if each.get("fingerprint") == self.target), None)
        if found is None:
            raise OperatorError(f"No alert with the fingerprint {self.target} fires.", "See /mlflow alerts list.")
        return labels(found)

    def _of_group(self, group: Group | None) -> dict[str, str]:
        if group is None:
            raise OperatorError(f"There is no alert group {self.target}.", "See /mlflow alerts list.")
        if group.over is not None:
            raise AlreadySo(f"{group.name} is resolved.", "Nothing to silence.")
        if not group.matchers:
            raise OperatorError(
                "The alerts of this group have no label in common.", "Silence them one by one, by their fingerprints."
            )
        if any(_HIDDEN in value or value.endswith(_CUT) for value in group.matchers.values()):
            raise OperatorError(
                "Its labels are too long, or hold a secret, and are not known here.",
                "Silence its alerts by their fingerprints: /mlflow alerts list.",
            )
        return group.matchers


class AlertsUnsilence(Operation):
    """End a silence. target: its id, or that of the alert group that was silenced."""

    name: ClassVar[str] = "alerts-unsilence"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (TARGET,)

    target: Annotated[str, Field(pattern=r"^([0-9a-f]{10}|[0-9a-f-]{36})$")]

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Silence"

    def plan(self, systems: Systems) -> Plan:
        """Raises AlreadySo where it has ended, OperatorError where there is none."""
        known = systems.alertmanager.silence(self._silence_id(systems))
        if (known.get("status") or {}).get("state") == "expired":
            raise AlreadySo("That silence has ended.", "Nothing to do.")
        what = _written({each["name"]: each["value"] for each in known.get("matchers") or ()})
        return Plan(
            title=self.title,
            summary=f"of {what} ends now",
            steps=("End the silence in Alertmanager", "Say so in the alert's thread"),
            changes=(Change(what=f"silence of {what}", before="on", after="off"),),
            undo="/mlflow alerts silence",
            facts={"id": str(known.get("id"))},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """End it; the thread of the group is told."""
        progress.step("Ending the silence", of="End the silence")
        silence_id = self._silence_id(systems)
        systems.alertmanager.expire(silence_id)
        progress.step("Telling the alert's thread", of="Say so")
        keeping, now = AlertStore(systems.redis), datetime.now(UTC).timestamp()
        for group in keeping.groups():
            if group.silence is not None and group.silence.id == silence_id:
                keeping.silenced(group.id, None, now, _who(systems)[0])
        return Report(title=self.title, status=Status.OK, summary="The silence has ended.", hints=("alerts list",))

    def _silence_id(self, systems: Systems) -> str:
        if len(self.target) != GROUP_CHARACTERS:
            return self.target
        group = AlertStore(systems.redis).group(self.target)[1]
        if group is None or group.silence is None:
            raise OperatorError(f"No silence of the alert group {self.target} is known.", "See /mlflow alerts list.")
        return group.silence.id


def _active(systems: Systems) -> list[dict[str, Any]]:
    return [each for each in systems.alertmanager.silences() if (each.get("status") or {}).get("state") == "active"]


def _same(silence: dict[str, Any], matchers: dict[str, str]) -> bool:
    theirs = silence.get("matchers") or ()
    exact = all(not each.get("isRegex") and each.get("isEqual", True) for each in theirs)
    return exact and {each.get("name"): each.get("value") for each in theirs} == matchers


def _written(matchers: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in matchers.items())


def _who(systems: Systems) -> tuple[str, str]:
    """Who asked for what runs under this lock: as in a record, and as Alertmanager is told."""
    record = Records(systems.redis).get(locks.holder(systems.redis, TARGET) or "")
    if record is None:
        return "terminal:somebody", "someone in a terminal"
    return record.requester, f"Slack user {record.requester}, command {record.id}"
