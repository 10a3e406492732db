"""What a controller has not seen yet: a spec that has just been changed.

Between a write and the controller's next sync the object tells of before: `observedGeneration` is older than
`generation`, and every figure and condition speaks of the older spec. Real clusters take milliseconds for it, busy
ones seconds. A change during the wait is seen with the one that began it. What is there when the controllers start is
seen at once, as they list everything then.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from datetime import datetime, timedelta

from mlflow_ops_sandbox.cluster.api.objects import Object, uid_of
from mlflow_ops_sandbox.cluster.api.times import Clock


class Lag:
    """Says of each object whether its controller has seen its spec."""

    def __init__(self, clock: Clock, seconds: float, seed: int | None = None) -> None:
        """seconds: how long it takes; at most that, and drawn anew each time, where there is a seed."""
        self.seconds = seconds
        self._clock = clock
        self._chance = None if seed is None else random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._due: dict[str, datetime] = {}
        self._started = False

    def has_seen(self, item: Object) -> bool:
        """Say whether the controller of an object with a generation may act on it now."""
        uid = uid_of(item)
        observed = int((item.get("status") or {}).get("observedGeneration", 0))
        if observed >= int(item["metadata"].get("generation", 1)):
            self._due.pop(uid, None)
            return True
        if not self._started:
            return True
        now = self._clock()
        if uid not in self._due:
            share = 1.0 if self._chance is None else self._chance.random()
            self._due[uid] = now + timedelta(seconds=self.seconds * share)
        return self._due[uid] <= now

    def end_round(self, uids: Collection[str]) -> None:
        """Forget all but these objects; called after each round, the first of which sees everything."""
        self._started = True
        self._due = {uid: due for uid, due in self._due.items() if uid in uids}

    def moments(self) -> list[datetime]:
        """Return when something will be seen."""
        return list(self._due.values())
