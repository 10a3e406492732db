"""What goes wrong in a way that a person can do something about."""

from __future__ import annotations


class SandboxError(Exception):
    """One sentence for the person at the terminal: what is wrong, and what to do now."""


class PartError(SandboxError):
    """A part did not start; the message ends with its last log lines and the log's path."""


class RefusedError(SandboxError):
    """The local Slack refused an order; `error` is Slack's name for why."""

    def __init__(self, path: str, error: str) -> None:
        super().__init__(f"{path}: {error}")
        self.error = error
