"""When a controller tries again what it was refused.

After each failure the pause doubles, from 5 ms to a bound; a change of what the controller watches for its object
makes it try at once. What it does not watch, such as a quota of which there is more now, it finds when the pause is
over, and no sooner.
Source: k8s.io/client-go/util/workqueue, DefaultTypedControllerRateLimiter.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlflow_ops_sandbox.cluster.api.objects import Object, uid_of
from mlflow_ops_sandbox.cluster.api.times import Clock

_FIRST_SECONDS = 0.005
_MOST_DOUBLINGS = 40


@dataclass(frozen=True, slots=True)
class _Failure:
    count: int
    due: datetime
    seen: frozenset[str]


class Retries:
    """Remembers failures by the object for which something failed."""

    def __init__(self, clock: Clock, longest: float) -> None:
        """longest: the bound of the pause, in seconds."""
        self._clock = clock
        self._longest = longest
        self._failures: dict[str, _Failure] = {}

    def may_try(self, item: Object, watched: list[Object]) -> bool:
        """Say whether to try (again). watched: what makes the controller look at ``item`` when it changes."""
        failure = self._failures.get(uid_of(item))
        return failure is None or failure.seen != _versions(item, watched) or failure.due <= self._clock()

    def failed(self, item: Object, watched: list[Object]) -> None:
        """Note a failure."""
        before = self._failures.get(uid_of(item))
        count = before.count + 1 if before else 1
        pause = min(_FIRST_SECONDS * 2 ** min(count - 1, _MOST_DOUBLINGS), self._longest)
        due = self._clock() + timedelta(seconds=pause)
        self._failures[uid_of(item)] = _Failure(count, due, _versions(item, watched))

    def succeeded(self, item: Object) -> None:
        """Forget the failures of an object."""
        self._failures.pop(uid_of(item), None)

    def end_round(self, uids: Collection[str]) -> None:
        """Forget all but these objects."""
        self._failures = {uid: failure for uid, failure in self._failures.items() if uid in uids}

    def moments(self) -> list[datetime]:
        """Return when something is to be tried again."""
        return [failure.due for failure in self._failures.values()]


def _versions(item: Object, watched: list[Object]) -> frozenset[str]:
    """The changes that were seen: a deleted object counts as one, too."""
    return frozenset(f"{uid_of(entry)}@{entry['metadata'].get('resourceVersion')}" for entry in (item, *watched))
