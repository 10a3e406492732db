"""Who is on call now: the team in business hours, else DevOps, as ops.yaml says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from workers.settings import Weekday

if TYPE_CHECKING:
    from datetime import datetime

    from workers.settings import Ops

_WEEKDAYS: Final[tuple[str, ...]] = get_args(Weekday)


@dataclass(frozen=True)
class OnCall:
    """name: what they are called in a sentence. ids: of Slack users and groups; none where ops.yaml names nobody."""

    name: str
    ids: tuple[str, ...]


def on_call(ops: Ops, now: datetime) -> OnCall:
    """Whoever it is at that moment; the others where ops.yaml names nobody for it."""
    settled = ops.escalation
    team, devops = OnCall("the team", settled.team.ids), OnCall("DevOps", settled.devops.ids)
    first, second = (team, devops) if in_business_hours(ops, now) else (devops, team)
    return first if first.ids or not second.ids else second


def in_business_hours(ops: Ops, now: datetime) -> bool:
    """By the team's clock; the weekdays and holidays are the digest's where the escalation has none of its own."""
    settled = ops.escalation
    local = now.astimezone(ops.zone)
    weekdays = ops.digest.weekdays if settled.weekdays is None else settled.weekdays
    holidays = ops.digest.holidays if settled.holidays is None else settled.holidays
    return (
        _WEEKDAYS[local.weekday()] in weekdays
        and local.date() not in holidays
        and settled.begins <= f"{local:%H:%M}" < settled.ends
    )
