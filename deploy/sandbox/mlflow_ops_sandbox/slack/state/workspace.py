"""Who and what there is in the workspace: read once from a JSON file, never changed while running.

What people do in the workspace (messages, pins, files, home tabs) lives in `store`; membership that
changes while running lives there too. A mistake in the file is told by field name at start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_EVENTS = ("app_home_opened", "app_mention")
PALETTE = ("#4a154b", "#2b6e63", "#a8532b", "#2d5fa8", "#7a3e8e", "#8a6d1f")


class WorkspaceError(ValueError):
    """The workspace file cannot be used; the message names the field."""


@dataclass(frozen=True, slots=True)
class Team:
    """The workspace itself, and the Enterprise organization that it belongs to, if it does."""

    id: str
    name: str
    enterprise_id: str = ""


@dataclass(frozen=True, slots=True)
class Bot:
    """The installed app and its bot user."""

    user_id: str
    bot_id: str
    name: str
    display: str
    app_id: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """The app's credentials, as Slack's settings pages would show them."""

    bot: str
    app: str
    signing_secret: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be chosen in the page as the one who types.

    `user`: what `users.info` says of them beside the usual, such as is_restricted of a guest, or the team_id of
    somebody from another workspace.
    """

    id: str
    name: str
    real_name: str
    role_label: str
    email: str
    color: str
    user: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Channel:
    """A public channel; `members` includes the bot where it was invited."""

    id: str
    name: str
    topic: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UserGroup:
    """A user group such as @mlflow-approvers."""

    id: str
    handle: str
    name: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One line of the popup that appears while a command is being typed."""

    text: str
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command as registered in the app's settings."""

    command: str
    description: str
    usage_hint: str
    suggestions: tuple[Suggestion, ...]
    should_escape: bool = False


@dataclass(frozen=True, slots=True)
class Workspace:
    """Everything that the workspace file says."""

    team: Team
    bot: Bot
    tokens: Tokens
    people: tuple[Person, ...]
    channels: tuple[Channel, ...]
    usergroups: tuple[UserGroup, ...] = ()
    commands: tuple[Command, ...] = ()
    mode: Literal["socket", "http"] = "socket"
    request_url: str = ""
    events: tuple[str, ...] = DEFAULT_EVENTS
    scopes: tuple[str, ...] = ()
    _people: Mapping[str, Person] = field(init=False, repr=False, compare=False)
    _channels: Mapping[str, Channel] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index people and channels by id, and refuse what cannot work."""
        object.__setattr__(self, "_people", {person.id: person for person in self.people})
        object.__setattr__(self, "_channels", {channel.id: channel for channel in self.channels})
        if self.mode not in ("socket", "http"):
            msg = f"mode: must be socket or http, not {self.mode!r}"
            raise WorkspaceError(msg)
        if self.mode == "http" and not self.request_url:
            msg = "request_url: needed in http mode"
            raise WorkspaceError(msg)
        if not self.people or not self.channels:
            msg = "people, channels: at least one of each is needed"
            raise WorkspaceError(msg)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the workspace file; raise WorkspaceError where it cannot be used."""
        try:
            data = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            msg = f"{path}: {error}"
            raise WorkspaceError(msg) from error
        return cls.from_json(data)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build a workspace from parsed JSON; raise WorkspaceError naming the field that is missing."""
        try:
            return cls._from_json(data)
        except (KeyError, TypeError, AttributeError) as error:
            msg = f"workspace file: missing or malformed field {error}"
            raise WorkspaceError(msg) from error

    @classmethod
    def _from_json(cls, data: Mapping[str, Any]) -> Self:
        bot = data["bot"]
        people = tuple(
            Person(
                id=item["id"],
                name=item["name"],
                real_name=item.get("real_name") or item["name"],
                role_label=item.get("role_label", ""),
                email=item.get("email", ""),
                color=item.get("color") or PALETTE[index % len(PALETTE)],
                user=item.get("user") or {},
            )
            for index, item in enumerate(data["people"])
        )
        everybody = (*(person.id for person in people), bot["user_id"])
        return cls(
            team=Team(data["team"]["id"], data["team"]["name"], data["team"].get("enterprise_id", "")),
            bot=Bot(
                user_id=bot["user_id"],
                bot_id=bot["bot_id"],
                name=bot["name"],
                display=bot.get("display") or bot["name"],
                app_id=bot.get("app_id") or "A" + bot["bot_id"][1:],
            ),
            tokens=Tokens(
                data["tokens"]["bot"],
                data["tokens"]["app"],
                data["tokens"].get("signing_secret", ""),
            ),
            people=people,
            channels=tuple(
                Channel(
                    id=item["id"],
                    name=item["name"],
                    topic=item.get("topic", ""),
                    members=tuple(item.get("members") or everybody),
                )
                for item in data["channels"]
            ),
            usergroups=tuple(
                UserGroup(item["id"], item["handle"], item["name"], tuple(item["users"]))
                for item in data.get("usergroups", ())
            ),
            commands=tuple(_command(item) for item in data.get("commands", ())),
            mode=data.get("mode", "socket"),
            request_url=data.get("request_url", ""),
            events=_strings(data.get("events"), DEFAULT_EVENTS),
            scopes=_strings(data.get("scopes"), ()),
        )

    def person(self, user_id: str) -> Person | None:
        """Return the person with this id, or None."""
        return self._people.get(user_id)

    def channel(self, channel_id: str) -> Channel | None:
        """Return the channel with this id, or None."""
        return self._channels.get(channel_id)

    def direct(self, user_id: str) -> str:
        """Return the id of the direct-message channel between this person and the bot."""
        return "D" + user_id[1:]

    def direct_with(self, channel_id: str) -> Person | None:
        """Return the person at the other end of a direct-message channel, or None."""
        return self.person("U" + channel_id[1:]) if channel_id.startswith("D") else None

    def command(self, name: str) -> Command | None:
        """Return the registered slash command with this name (`/mlflow`), or None."""
        return next((item for item in self.commands if item.command == name), None)


def _command(item: Mapping[str, Any]) -> Command:
    return Command(
        command=item["command"],
        description=item.get("description", ""),
        usage_hint=item.get("usage_hint", ""),
        suggestions=tuple(Suggestion(entry["text"], entry.get("help", "")) for entry in item.get("suggestions", ())),
        should_escape=bool(item.get("should_escape", False)),
    )


def _strings(value: Sequence[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return default if value is None else tuple(value)
