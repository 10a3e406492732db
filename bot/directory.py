"""Who is in which user group, and who is a full member of our workspace, from Slack, cached: a listener has three
seconds to acknowledge and must not wait for it.

Groups are read once before the bot serves and again every `REFRESH_SECONDS` by a thread of its own. A group that Slack
can't tell now keeps its last known members for a day; one that Slack refuses to tell (it is gone, or the app lacks the
scope) has none from then on. Whether somebody is a full member is asked when they first do something, within
`ANSWER_SECONDS`, and only where ops.yaml says `"*"`: guests, people of other workspaces and organizations, bots and
deactivated people are nobody unless ops.yaml names them (https://docs.slack.dev/reference/objects/user-object).
Nobody gets a right by an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from slack_sdk import WebClient

from bot.slack_errors import FAILURES, Kind, meaning
from commands.policy import EVERYBODY, Unsure
from workers.settings import ROLES, Ops

REFRESH_SECONDS: Final = 300.0
ANSWER_SECONDS: Final = 2
"""How long it may take Slack to tell who somebody is; an acknowledgement has three."""
FRESH_SECONDS: Final = 600.0
KEPT_SECONDS: Final = 24 * 3600.0
"""What is known of a group or a person, if Slack can't be asked."""
_NOBODY: Final = (
    *("deleted", "is_bot", "is_workflow_bot", "is_connector_bot"),
    *("is_restricted", "is_ultra_restricted", "is_stranger"),
)
"""Fields of a user object: somebody of whom one is true is no full member."""
_SLACKBOT: Final = "USLACKBOT"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Known:
    """What Slack said, and when."""

    value: Any
    at: float


class Directory:
    """The members of the user groups that ops.yaml names, and the workspace's own people.

    client: reads the groups. quick: asks who somebody is, without retries, with a time-out of ANSWER_SECONDS. clock: in
    seconds, never back.
    """

    def __init__(
        self,
        client: WebClient,
        groups: Iterable[str],
        *,
        quick: WebClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._quick = quick or client
        self._clock = clock
        self._groups: dict[str, _Known] = {group: _Known(frozenset(), clock()) for group in groups}
        self._told: set[str] = set()
        self._people: dict[str, _Known] = {}
        self._workspace = ""

    def members(self, group: str) -> Container[str]:
        """User ids, as last read; of `EVERYBODY`, the full members of our workspace (raises Unsure when asked)."""
        if group == EVERYBODY:
            return _Everybody(self)
        known = self._groups.get(group)
        return known.value if known else frozenset()

    def known(self) -> dict[str, frozenset[str]]:
        """The members of every group that Slack has told, when it was last asked."""
        return {group: self._groups[group].value for group in self._told}

    def refresh(self) -> None:
        """Read every group from Slack."""
        for group, known in self._groups.items():
            self._told.discard(group)
            try:
                answer: Any = self._client.usergroups_users_list(usergroup=group)
            except FAILURES as error:
                self._groups[group] = self._still(known, error, group)
            else:
                self._groups[group] = _Known(frozenset(answer["users"]), self._clock())
                self._told.add(group)

    def keep_fresh(self, stop: threading.Event) -> threading.Thread:
        """Refresh in the background until `stop` is set."""

        def loop() -> None:
            while not stop.wait(REFRESH_SECONDS):
                self.refresh()

        thread = threading.Thread(target=loop, name="directory", daemon=True)
        thread.start()
        return thread

    def is_full_member(self, user: str) -> bool:
        """Whether somebody is a full member of our workspace. Raises Unsure where Slack doesn't tell."""
        now, known = self._clock(), self._people.get(user)
        if known and now - known.at < FRESH_SECONDS:
            return bool(known.value)
        try:
            answer: Any = self._quick.users_info(user=user)
            ours = _is_full(answer["user"], self._our_workspace())
        except FAILURES as error:
            answered = meaning(error)
            _log.warning("not told who somebody is", user=user, why=answered.why)
            if answered.kind is Kind.NOBODY:
                ours = False
            elif known and answered.kind in {Kind.WAIT, Kind.UNKNOWN} and now - known.at < KEPT_SECONDS:
                return bool(known.value)
            else:
                raise Unsure(answered.why) from None
        self._people[user] = _Known(ours, now)
        return ours

    def _our_workspace(self) -> str:
        if not self._workspace:
            answer: Any = self._quick.auth_test()
            self._workspace = str(answer["team_id"])
        return self._workspace

    def _still(self, known: _Known, error: Exception, group: str) -> _Known:
        """What is left of a group that could not be read."""
        answer = meaning(error)
        keeps = answer.kind in {Kind.WAIT, Kind.UNKNOWN} and self._clock() - known.at < KEPT_SECONDS
        _log.warning("user group not read", group=group, why=answer.why, keeps=len(known.value) if keeps else 0)
        return known if keeps else _Known(frozenset(), known.at)


class _Everybody(Container[str]):
    """The full members of our workspace, of whom Slack is asked one by one."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def __contains__(self, user: object) -> bool:
        return self._directory.is_full_member(str(user))


def groups_of(ops: Ops) -> frozenset[str]:
    """The user groups that any role names."""
    return frozenset(group for role in ROLES for group in getattr(ops.roles, role).groups)


def _is_full(user: dict[str, Any], workspace: str) -> bool:
    """Of an Enterprise organization's people, those of our workspace: they say so in `enterprise_user`, and need not
    have a team_id.
    """
    teams = {user.get("team_id"), *((user.get("enterprise_user") or {}).get("teams") or ())}
    return workspace in teams and user.get("id") != _SLACKBOT and not any(user.get(each) for each in _NOBODY)
