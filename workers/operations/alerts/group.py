"""A group of alerts as it is told, and many groups that share a message: data, and how a notification changes it.

Nothing here asks for the time or for Redis, so what is delivered twice, late or by two Alertmanagers changes nothing
the second time. The trap: a notification bears no time of its own, so an old one cannot be told from an alert that
goes on after a gap. Such an alert is never swallowed: it goes on in the message that it had.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from workers.operations.alerts.notification import FINGERPRINTS, SHOWN, Alert, Notification
from workers.report import Offer

FLAP_SECONDS: Final = 900.0
"""What fires again so soon after its end goes on in the same message."""
MEMBERS: Final = 1000
"""Groups of a crowd that are known one by one; more are counted."""
NAMES: Final = 50


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Silence(_Kept):
    """A silence that was asked for here. until: seconds since the epoch. by: who asked, as in a record."""

    id: str
    until: float
    by: str
    why: str


class Group(_Kept):
    """One group from its first alert to its end. Times are seconds since the epoch.

    matchers: the labels that all of its alerts have and no other group's. firing, ended: alerts by fingerprint and
    beginning. more_firing, more_ended: how many besides. shown: some of those that fire, each with its beginning.
    times: how often it fired. check: the command that its thread begins with. records: its messages; or crowd: what
    tells of it instead. unheard_since: when it was last told of, where that is so long ago that it may be over.
    """

    id: str
    name: str
    severity: str
    summary: str
    description: str
    runbook: str
    source: str
    matchers: dict[str, str]
    labels: dict[str, str]
    firing: tuple[str, ...]
    more_firing: int = 0
    ended: tuple[str, ...] = ()
    more_ended: int = 0
    shown: tuple[tuple[str, float], ...] = ()
    began: float
    over: float | None = None
    times: int = 1
    check: str = ""
    offers: tuple[Offer, ...] = ()
    records: tuple[str, ...] = ()
    crowd: str = ""
    silence: Silence | None = None
    unheard_since: float | None = None

    @property
    def fires(self) -> int:
        """How many alerts of it fire."""
        return len(self.firing) + self.more_firing

    @property
    def has_ended(self) -> int:
        """How many alerts of it have ended."""
        return len(self.ended) + self.more_ended


class Crowd(_Kept):
    """Groups that share a message: of a storm, or held during maintenance.

    members: by group, how many alerts fire. names: by what they are called, how many groups. more: groups beyond
    MEMBERS, counted each time that they are told of. latest: when it last grew.
    """

    id: str
    kind: Literal["storm", "held"]
    records: tuple[str, ...]
    began: float
    latest: float
    members: dict[str, int]
    names: dict[str, int]
    more: int = 0

    @property
    def fires(self) -> int:
        """How many alerts fire."""
        return sum(self.members.values())

    @property
    def groups(self) -> int:
        """How many groups there were."""
        return len(self.members) + self.more


def identify(group_key: str) -> str:
    """A group's id, short enough to be typed."""
    return hashlib.sha256(group_key.encode("utf-8", "replace")).hexdigest()[:10]


def goes_on(known: Group, told: Notification, now: float) -> bool:
    """Whether what fires now belongs to the message that there is."""
    if known.over is None or now - known.over <= FLAP_SECONDS:
        return True
    return any(_mark(alert) in known.ended for alert in told.firing)


def new(told: Notification, *, check: str = "", offers: tuple[Offer, ...] = (), now: float = 0.0) -> Group:
    """A group that fires for the first time. now: when it began, where it does not say."""
    beginnings = [alert.began for alert in told.firing if alert.began]
    empty = Group(
        id=identify(told.group_key),
        name="",
        severity="",
        summary="",
        description="",
        runbook="",
        source="",
        matchers={},
        labels={},
        firing=(),
        began=min(beginnings, default=now),
        check=check,
        offers=offers,
    )
    return changed(empty, told, now=0.0)


def changed(known: Group, told: Notification, now: float) -> Group:
    """What is known of it after a notification that belongs to it."""
    fires = [_mark(alert) for alert in told.firing]
    ended, more_ended = _ended(known, told, set(fires))
    if not fires:
        # What is told of it stays as it was when it fired.
        over = known.over or min(max((alert.over for alert in told.alerts if alert.over), default=now), now)
        return known.model_copy(
            update={
                "firing": (),
                "more_firing": 0,
                "shown": (),
                "ended": ended,
                "more_ended": more_ended,
                "over": over,
                "unheard_since": None,
            }
        )
    update = {
        "name": told.name,
        "severity": told.severity,
        "summary": told.annotation("summary") or told.annotation("message"),
        "description": told.annotation("description"),
        "runbook": told.annotation("runbook_url"),
        "source": told.firing[0].source,
        "matchers": _matchers(told),
        "labels": {**told.common_labels, **told.group_labels},
        "firing": tuple(fires[:FINGERPRINTS]),
        "more_firing": max(0, len(fires) - FINGERPRINTS) + told.truncated,
        "shown": tuple((_what(alert, told), alert.began) for alert in told.firing[:SHOWN]),
        "ended": ended,
        "more_ended": more_ended,
        "over": None,
        "unheard_since": None,
        "silence": known.silence if known.silence and known.silence.until > now else None,
        "times": known.times + (known.over is not None),
    }
    return known.model_copy(update=update)


def counted(crowd: Crowd, group: Group, now: float) -> Crowd:
    """A crowd that knows how many alerts of this group fire."""
    known = crowd.members.get(group.id)
    if known == group.fires:
        return crowd
    if known is None and len(crowd.members) >= MEMBERS:
        return crowd.model_copy(update={"more": crowd.more + 1, "latest": now})
    update: dict[str, object] = {"members": crowd.members | {group.id: group.fires}}
    if known is None:
        name = group.name if group.name in crowd.names or len(crowd.names) < NAMES else "others"
        update |= {"latest": now, "names": crowd.names | {name: crowd.names.get(name, 0) + 1}}
    return crowd.model_copy(update=update)


def _ended(known: Group, told: Notification, fires: set[str]) -> tuple[tuple[str, ...], int]:
    before = [mark for mark in known.ended if mark not in fires]
    seen = set(before)
    fresh = [mark for alert in told.alerts if alert.status == "resolved" and (mark := _mark(alert)) not in seen]
    room = max(0, FINGERPRINTS - len(before))
    # What is delivered again counts once: those that are only counted cannot be told from one another.
    return (*before, *fresh[:room]), max(known.more_ended, max(0, len(fresh) - room) + told.more_resolved)


def _mark(alert: Alert) -> str:
    """An alert and when it began: the same labels may fire again later."""
    return f"{alert.known_as}@{int(alert.began)}"


def _matchers(told: Notification) -> dict[str, str]:
    if told.group_labels:
        return told.group_labels
    name = told.common_labels.get("alertname")
    return {"alertname": name} if name else {}


def _what(alert: Alert, told: Notification) -> str:
    """What tells an alert from the others of its group."""
    own = {name: value for name, value in alert.labels.items() if told.common_labels.get(name) != value}
    return ", ".join(f"{name}={value}" for name, value in own.items())
