"""Slack's bad days, on demand: refusals, resets, slowness, absence, limits of calls per minute.

A fault names a method by pattern (`chat.*`, `response_url`, `files.upload`), a kind, and how often: a `count` of
hits, a `probability` drawn from a seeded generator so that a run can be repeated, or both. The first that
applies wins. The nasty kinds are `reset_after`, `error_after` and `latency_after`: the call took effect, and the
caller cannot know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from mlflow_ops_sandbox.fault import Fault
from mlflow_ops_sandbox.slack import refusing
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["ratelimited", "error", "error_after", "reset_before", "reset_after", "latency", "latency_after", "hang"]
Absence = Literal["reset", "hang", "503"]
_SHORT = {"429": "ratelimited", "500": "error"}


@dataclass(slots=True, kw_only=True)
class MethodFault(Fault):
    """A fault of the calls whose method's name fits a pattern."""

    method: str
    retry_after: int
    status: int
    error: str
    html: bool
    name: str

    def matches(self, asked: str) -> bool:
        """Say whether a method's name fits."""
        return fnmatchcase(asked, self.method)

    def as_json(self) -> Json:
        """Return it as the control endpoint shows it."""
        names = ("name", "method", "kind", "remaining", "probability", "hits", "seed")
        return {name: getattr(self, name) for name in names}


class Faults:
    """The faults in force."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start without any."""
        self._clock = clock
        self._back = 0.0
        self.limits = Limits(clock)
        self.active: list[MethodFault] = []
        self.refusals: list[refusing.Refusal] = []
        self.lacking: set[str] = set()
        self.absence: Absence = "reset"
        self.socket_mode_off = False
        self.redeliveries = 0
        self.swallowed_acknowledgements = 0
        self.cut_envelopes = 0

    @property
    def away(self) -> bool:
        """Whether Slack cannot be reached now."""
        return self._clock() < self._back

    def leave(self, seconds: float = math.inf, how: str = "reset") -> None:
        """Be away for some of Slack's seconds: connections are reset, hang, or are answered with 503."""
        if how not in get_args(Absence):
            raise InvalidArgumentsError(f"how: one of {', '.join(get_args(Absence))}")
        self.absence = cast("Absence", how)
        self._back = self._clock() + seconds

    def come_back(self) -> None:
        """Be there again."""
        self._back = 0.0

    def add(self, body: Json) -> None:
        """Add one from the control endpoint's JSON; raise SlackError where it makes no sense."""
        if body.get("kind") == refusing.KIND:
            self.refusals.append(refusing.made(body))
            return
        kind = _SHORT.get(str(body.get("kind")), body.get("kind"))
        if kind not in get_args(Kind):
            raise InvalidArgumentsError(f"kind: one of {', '.join(get_args(Kind))}")
        count = body.get("count", None if "probability" in body else 1)
        fault = MethodFault(
            method=str(body.get("method", "*")),
            kind=str(kind),
            count=None if count is None else int(count),
            probability=float(body.get("probability", 1)),
            skip=int(body.get("skip", 0)),
            retry_after=int(body.get("retry_after", 1)),
            status=int(body.get("status", 500)),
            seconds=float(body.get("seconds", 1)),
            error=str(body.get("error", "internal_error")),
            html=bool(body.get("html")),
            seed=int(body.get("seed", 0)),
            name=str(body.get("name", "")),
        )
        self.active.append(fault)

    def remove(self, name: str) -> None:
        """Take away those with this name."""
        self.active = [fault for fault in self.active if fault.name != name]
        self.refusals = [refusal for refusal in self.refusals if refusal.name != name]

    def clear(self) -> None:
        """Let everything work again."""
        self.active.clear()
        self.refusals.clear()
        self.limits.clear()
        self.lacking.clear()
        self.come_back()
        self.socket_mode_off = False
        self.redeliveries = self.swallowed_acknowledgements = self.cut_envelopes = 0

    def strike(self, method: str) -> MethodFault | None:
        """Return the fault that hits this call, if one does."""
        return next((fault for fault in self.active if fault.strikes(method)), None)

    def refuse(self, method: str, args: Mapping[str, Any]) -> None:
        """Raise SlackError where this call is refused."""
        for refusal in self.refusals:
            if refusal.strikes_call(method, args):
                raise SlackError(refusal.error)

    def as_json(self) -> Json:
        """Return what is in force, as the control endpoint shows it."""
        left = self._back - self._clock()
        return {
            "rules": [*(fault.as_json() for fault in self.active), *(each.as_json() for each in self.refusals)],
            "away": self.away,
            "away_seconds": None if left <= 0 or math.isinf(left) else round(left, 1),
            "tiers": self.limits.on,
            "lacking": sorted(self.lacking),
            "socket_mode_off": self.socket_mode_off,
            "redeliveries": self.redeliveries,
            "swallowed_acknowledgements": self.swallowed_acknowledgements,
            "cut_envelopes": self.cut_envelopes,
        }
