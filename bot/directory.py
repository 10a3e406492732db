"""Who is in which user group, from Slack, cached: a listener has three seconds and must not wait for it.

Groups are read once before the bot serves and again every `REFRESH_SECONDS` by a thread of its own. A group that
Slack does not tell keeps its last known members; one that was never read has none, so nobody gets a right by an error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import structlog
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from workers.settings import ROLES, Ops

REFRESH_SECONDS = 300.0

_log = structlog.get_logger(__name__)


class Directory:
    """The members of the user groups that ops.yaml names."""

    def __init__(self, client: WebClient, groups: Iterable[str]) -> None:
        self._client = client
        self._members: dict[str, frozenset[str]] = dict.fromkeys(groups, frozenset())
        self._told: set[str] = set()

    def members(self, group: str) -> frozenset[str]:
        """User ids, as last read; never waits."""
        return self._members.get(group, frozenset())

    def known(self) -> dict[str, frozenset[str]]:
        """The members of every group that Slack has told, when it was last asked."""
        return {group: self._members[group] for group in self._told}

    def refresh(self) -> None:
        """Read every group from Slack; one that cannot be read keeps what is known of it."""
        for group in self._members:
            self._told.discard(group)
            try:
                answer = self._client.usergroups_users_list(usergroup=group)
            except (SlackApiError, OSError) as error:
                _log.warning("user group not read", group=group, error=str(error))
                continue
            self._members[group] = frozenset(answer["users"])
            self._told.add(group)

    def keep_fresh(self, stop: threading.Event) -> threading.Thread:
        """Refresh in the background until `stop` is set."""

        def loop() -> None:
            while not stop.wait(REFRESH_SECONDS):
                self.refresh()

        thread = threading.Thread(target=loop, name="directory", daemon=True)
        thread.start()
        return thread


def groups_of(ops: Ops) -> frozenset[str]:
    """The user groups that any role names."""
    return frozenset(group for role in ROLES for group in getattr(ops.roles, role).groups)
