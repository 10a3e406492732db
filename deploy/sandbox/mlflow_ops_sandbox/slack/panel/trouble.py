"""Slack's own troubles, as switches: each is one order to `control`, and one to take it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlflow_ops_sandbox.slack import control
from mlflow_ops_sandbox.slack.delivery.socketmode import SocketMode
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json
from mlflow_ops_sandbox.slack.panel.thing import BREAK, DO, HEAL, State, Thing

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.state.installation import Installation

_HALF: Final = {"method": "*", "probability": 0.5}
_RULES: Final[dict[str, tuple[Json, str, str]]] = {
    "busy": (
        {"kind": "ratelimited", "retry_after": 2, **_HALF},
        "Too many requests",
        "Every second call gets 429, and 2 s to wait",
    ),
    "errors": ({"kind": "error", **_HALF}, "Server errors", "Every second call gets 500"),
    "lost": (
        {"kind": "reset_before", **_HALF},
        "Connections break before",
        "Every second call is cut; nothing is stored",
    ),
    "unsure": (
        {"kind": "reset_after", **_HALF},
        "Connections break after",
        "Every second call is cut once it is stored",
    ),
    "slow": (
        {"kind": "latency", "seconds": 2, "method": "*", "probability": 1},
        "Slow answers",
        "Every call takes two seconds longer",
    ),
}
_REFUSALS: Final[dict[str, tuple[tuple[Json, ...], str, str]]] = {
    "read-only": (
        ({"method": "chat.postMessage", "error": "restricted_action_read_only_channel", "of": "channel"},),
        "Channels are read-only",
        "The app may post in no channel, though it may write to people",
    ),
    "archived": (
        (
            {"method": "chat.postMessage", "error": "is_archived", "of": "channel"},
            {"method": "chat.update", "error": "is_inactive", "of": "channel"},
            {"method": "files.completeUploadExternal", "error": "posting_to_channel_denied"},
        ),
        "Channels are archived",
        "Nothing can be posted or changed there any more",
    ),
    "threads": (
        ({"method": "chat.postMessage", "error": "restricted_action_thread_locked", "of": "reply"},),
        "Threads are locked",
        "Messages are taken, replies are not",
    ),
    "edits": (
        ({"method": "chat.update", "error": "edit_window_closed"},),
        "No edits",
        "The workspace's settings allow nobody to change a message",
    ),
    "blocks": (
        ({"method": "chat.*", "error": "invalid_blocks", "of": "blocks"},),
        "No blocks",
        "Any message with blocks is refused; text is taken",
    ),
    "files": (
        ({"method": "files.getUploadURLExternal", "error": "file_uploads_disabled"},),
        "No files",
        "The workspace allows no uploads",
    ),
    "pins": (
        ({"method": "pins.*", "error": "restricted_action"},),
        "No pins",
        "The workspace's settings don't let the app pin",
    ),
    "moving": (
        ({"method": "chat.*", "error": "team_added_to_org"},),
        "The workspace is moving",
        "It joins an Enterprise organization; messages are taken once it is over",
    ),
    "token": (
        ({"method": "[!a]*", "error": "token_revoked"}, {"method": "auth.test", "error": "token_revoked"}),
        "The token is revoked",
        "Every method refuses the bot's token",
    ),
    "strange": (
        ({"method": "chat.postMessage", "error": "not_in_the_mood", "of": "channel"},),
        "An error that nobody knows",
        "Posts in channels are refused in a way that Slack doesn't document",
    ),
}
"""Each class of refusals that the product tells apart, once."""
_ABSENCES: Final = {
    "away": (30, "Away for 30 seconds", "Every connection is reset"),
    "long-away": (600, "Away for 10 minutes", "Every connection is reset, for long"),
}
_LIMITS: Final = Thing("limits", "Count calls as Slack does", "Its documented calls a minute, and one post a second")
_DEAF: Final = Thing("deaf", "Lose an acknowledgement", "Whoever asks next is told that it failed, though it did not")
_OFF: Final = Thing("off", "Socket Mode switched off", "As in the app's settings; no socket opens")


@dataclass(frozen=True, slots=True)
class _Act:
    """Something that is over at once."""

    order: Json
    label: str
    help: str
    action: str


_ACTS: Final = {
    "again": _Act(
        {"kind": "redeliver_last"},
        "The last envelope once more",
        "The same id twice, as Slack does when unsure",
        "Deliver",
    ),
    "refresh": _Act(
        {"kind": "disconnect", "reason": "refresh_requested"},
        "Refresh the socket",
        "The app is asked to reconnect",
        "Ask",
    ),
    "cut": _Act({"kind": "drop"}, "Cut the socket", "Without a word", "Cut"),
}
_FOR_SOCKETS: Final = {"off", "refresh", "cut"}


class Trouble:
    """What goes wrong at Slack."""

    id = "slack"
    title = "Slack"

    def __init__(self, slack: Installation) -> None:
        """Break and heal this installation."""
        self._slack = slack

    async def things(self) -> list[Thing]:
        """Return the things as they are now."""
        faults = self._slack.faults
        names = {fault.name for fault in faults.active} | {refusal.name for refusal in faults.refusals}
        left = faults.as_json()["away_seconds"]

        def state(*, broken: bool) -> State:
            return "broken" if broken else "well"

        found = [Thing(key, label, said, state(broken=_name(key) in names)) for key, (_, label, said) in _RULES.items()]
        found += [
            Thing(key, label, said, state(broken=_name(key) in names)) for key, (_, label, said) in _REFUSALS.items()
        ]
        for key, (seconds, label, said) in _ABSENCES.items():
            here = faults.away and (left is not None and left <= _ABSENCES["away"][0]) == (
                seconds == _ABSENCES["away"][0]
            )
            detail = f"back in {round(left)} s" if here and left is not None else ""
            found.append(Thing(key, label, said, state(broken=here), detail))
        found.append(Thing(_LIMITS.id, _LIMITS.label, _LIMITS.help, state(broken=faults.limits.on)))
        deaf = faults.swallowed_acknowledgements > 0
        found.append(Thing(_DEAF.id, _DEAF.label, _DEAF.help, state(broken=deaf)))
        found.append(Thing(_OFF.id, _OFF.label, _OFF.help, state(broken=faults.socket_mode_off)))
        found += [Thing(key, act.label, act.help, actions=((DO, act.action),)) for key, act in _ACTS.items()]
        sockets = isinstance(self._slack.delivery, SocketMode)
        return [thing for thing in found if sockets or thing.id not in _FOR_SOCKETS]

    async def order(self, thing: str, action: str) -> None:
        """Break or heal a thing, or do what is over at once."""
        if action not in ((DO,) if thing in _ACTS else (BREAK, HEAL)):
            raise InvalidArgumentsError(f"action: {thing} knows no {action}")
        for order in _orders(thing, broken=action == BREAK):
            await control.arrange(self._slack, order)
        if thing == _DEAF.id and action == HEAL:
            self._slack.faults.swallowed_acknowledgements = 0

    async def heal(self) -> None:
        """Let everything at Slack work again."""
        self._slack.faults.clear()
        await control.arrange(self._slack, {"kind": "away", "on": False})


def _orders(thing: str, *, broken: bool) -> list[Json]:
    if thing not in _REFUSALS:
        return [_order(thing, broken=broken)]
    if not broken:
        return [{"kind": "remove", "name": _name(thing)}]
    return [{"kind": "refuse", "name": _name(thing), **each} for each in _REFUSALS[thing][0]]


def _order(thing: str, *, broken: bool) -> Json:
    if thing in _ACTS:
        return _ACTS[thing].order
    if thing in _RULES:
        return {**_RULES[thing][0], "name": _name(thing)} if broken else {"kind": "remove", "name": _name(thing)}
    if thing in _ABSENCES:
        return {"kind": "away", "on": broken, "seconds": _ABSENCES[thing][0]}
    if thing == _LIMITS.id:
        return {"kind": "tiers", "on": broken}
    if thing == _DEAF.id:
        return {"kind": "swallow", "count": 1 if broken else 0}
    if thing == _OFF.id:
        return {"kind": "disconnect", "reason": "link_disabled"} if broken else {"kind": "socket_mode", "on": True}
    raise InvalidArgumentsError(f"thing: there is no {thing}")


def _name(thing: str) -> str:
    return f"panel:{thing}"
