"""Messages that only one person sees. Slack keeps them nowhere; here they last as long as the process.

The newest `KEPT` of each person are held, so that a test can read them and a reloaded page still shows
them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.errors import Json

KEPT = 200


class Ephemerals:
    """Each person's ephemeral messages, oldest first."""

    def __init__(self) -> None:
        """Start without any."""
        self._of: dict[str, dict[str, Json]] = defaultdict(dict)

    def put(self, user: str, message: Json) -> None:
        """Keep a message, new or changed, under its `ts`."""
        mine = self._of[user]
        mine[message["ts"]] = message
        while len(mine) > KEPT:
            del mine[next(iter(mine))]

    def find(self, user: str, ts: str) -> Json | None:
        """Return one message, or None."""
        return self._of[user].get(ts)

    def remove(self, user: str, ts: str) -> None:
        """Forget a message, if it is there."""
        self._of[user].pop(ts, None)

    def seen_by(self, user: str, channel: str) -> list[Json]:
        """Return what a person sees in a channel that nobody else does."""
        return [message for message in self._of[user].values() if message["channel"] == channel]
