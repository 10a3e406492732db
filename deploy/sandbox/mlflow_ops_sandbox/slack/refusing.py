"""What Slack refuses by a workspace's or a channel's settings, whoever asks: an error by its name, for calls of a kind.

Unlike a fault, which strikes before a call is read, a refusal stands where Slack looks at what is asked, after the
token and the limits: so it can tell a channel from a direct message, a reply from other messages, blocks from text.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from mlflow_ops_sandbox.fault import Fault
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KIND: Final = "refuse"


def _place(args: Mapping[str, Any]) -> str:
    return str(args.get("channel") or args.get("channel_id") or "")


def _in_channel(args: Mapping[str, Any]) -> bool:
    return not _place(args).startswith(("D", "U", "W"))


_OF: Final[dict[str, Callable[[Mapping[str, Any]], bool]]] = {
    "": lambda _: True,
    "channel": _in_channel,
    "direct": lambda args: not _in_channel(args),
    "top": lambda args: _in_channel(args) and not args.get("thread_ts"),
    "reply": lambda args: bool(args.get("thread_ts")),
    "broadcast": lambda args: str(args.get("reply_broadcast")).lower() in ("1", "true"),
    "blocks": lambda args: bool(args.get("blocks")),
    "metadata": lambda args: bool(args.get("metadata")),
}
"""Of which calls: by what they hold."""


@dataclass(slots=True, kw_only=True)
class Refusal(Fault):
    """An error for the calls whose method's name fits a pattern, of a kind or in one channel."""

    method: str
    error: str
    of: str
    name: str

    def matches(self, asked: str) -> bool:
        """Say whether a method's name fits."""
        return fnmatchcase(asked, self.method)

    def strikes_call(self, method: str, args: Mapping[str, Any]) -> bool:
        """Say whether this call is refused, and count it if so."""
        fits = _OF[self.of](args) if self.of in _OF else _place(args) == self.of
        return fits and self.strikes(method)

    def as_json(self) -> Json:
        """Return it as the control endpoint shows it."""
        names = ("name", "method", "kind", "error", "of", "remaining", "hits")
        return {name: getattr(self, name) for name in names}


def made(body: Json) -> Refusal:
    """Return one from the control endpoint's JSON; raise SlackError where it makes no sense."""
    of = str(body.get("of", ""))
    if of not in _OF and not of.startswith(("C", "G", "D", "U")):
        raise InvalidArgumentsError(f"of: a channel's id, or one of {', '.join(filter(None, _OF))}")
    if not body.get("error"):
        raise InvalidArgumentsError("error: Slack's name for it")
    count = body.get("count")
    return Refusal(
        kind=KIND,
        method=str(body.get("method", "*")),
        error=str(body["error"]),
        of=of,
        name=str(body.get("name", "")),
        count=None if count is None else int(count),
        skip=int(body.get("skip", 0)),
    )
