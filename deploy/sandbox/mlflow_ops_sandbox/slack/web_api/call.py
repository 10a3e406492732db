"""One call of the Web API: its arguments, whoever made it, and the table of methods.

Arguments come in a query, a form or JSON; a method reads them through `Call`, which refuses by Slack's
names. `@method` registers a function together with what Slack documents about it: tier, scope, whose token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.state.installation import Installation

LIMIT = 1000
_TRUE = ("1", "true", "True", True, 1)

Token = Literal["bot", "app", "none"]


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one call, and where it arrived."""

    slack: Installation
    args: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return an argument that must be there."""
        value = self.optional(name)
        if not value:
            raise InvalidArgumentsError(f"missing required field: {name}")
        return value

    def optional(self, name: str) -> str | None:
        """Return an argument that may be missing."""
        value = self.args.get(name)
        return None if value is None else str(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a yes or no."""
        value = self.args.get(name)
        return default if value is None else value in _TRUE

    def number(self, name: str, default: int) -> int:
        """Return a whole number."""
        value = self.args.get(name)
        try:
            return default if value in (None, "") else int(value)
        except ValueError as error:
            raise InvalidArgumentsError(f"{name} must be an integer") from error

    def limit(self, default: int = 100) -> int:
        """Return the page size asked for."""
        wanted = self.number("limit", default)
        if not 0 < wanted <= LIMIT:
            raise SlackError("invalid_limit")
        return wanted

    def json(self, name: str) -> Any:
        """Return an argument that is JSON, also where it was sent as a string."""
        value = self.args.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise InvalidArgumentsError(f"{name} must be valid JSON") from error

    def channel(self, name: str = "channel") -> str:
        """Return the channel that an argument means."""
        value = self.optional(name)
        if not value:
            raise SlackError("channel_not_found")
        return self.slack.find_channel(value)

    def joined_channel(self, name: str = "channel") -> str:
        """Return the channel that an argument means, where the bot is a member."""
        channel = self.channel(name)
        if self.slack.workspace.bot.user_id not in self.slack.members(channel):
            raise SlackError("not_in_channel")
        return channel


Method = Callable[[Call], Json]


@dataclass(frozen=True, slots=True)
class Registered:
    """A method of the Web API."""

    run: Method
    tier: str
    scope: str
    by: Token


METHODS: dict[str, Registered] = {}


def method(name: str, *, tier: str = "3", scope: str = "", by: Token = "bot") -> Callable[[Method], Method]:
    """Register a function as a method of the Web API."""

    def register(run: Method) -> Method:
        METHODS[name] = Registered(run, tier, scope, by)
        return run

    return register
