"""How a refusal travels from where it is found to the HTTP answer.

Slack answers nearly every refusal with status 200 and `{"ok": false, "error": "name"}`; callers branch
on the name, so the names here are Slack's own.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class SlackError(Exception):
    """A refusal by its Slack name, with whatever else belongs into the answer's body."""

    def __init__(self, error: str, **extra: object) -> None:
        super().__init__(error)
        self.error = error
        self.extra = extra

    def body(self) -> Json:
        """Return the JSON body that Slack would answer."""
        return {"ok": False, "error": self.error, **self.extra}


class InvalidArgumentsError(SlackError):
    """`invalid_arguments` with the messages that say which one and why."""

    def __init__(self, *messages: str) -> None:
        super().__init__(
            "invalid_arguments",
            response_metadata={"messages": [f"[ERROR] {message}" for message in messages]},
        )
