"""What goes wrong in a way that a person can do something about."""

from __future__ import annotations


class SandboxError(Exception):
    """One sentence for the person at the terminal: what is wrong, and what to do now."""


class PartError(SandboxError):
    """A part did not start; the message ends with its last log lines and the log's path."""
