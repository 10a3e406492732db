"""Errors for people: one sentence what is wrong, one what to do now. Everything else is a bug, and told by its id."""

from __future__ import annotations


class OperatorError(Exception):
    """Something went wrong that a person can act on.

    message: one sentence, what is wrong. hint: one sentence, what to do now. Both reach Slack and the terminal
    as they are, so neither holds a secret or a traceback.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class AlreadySo(OperatorError):  # noqa: N818 - its message is a sentence for people
    """What was asked for is so already: nothing is to be done."""


class SetDamaged(OperatorError):  # noqa: N818
    """What is in a backup set, or came of it, is not what was backed up. It condemns the set; nothing else does."""


class RunMissing(OperatorError):  # noqa: N818
    """MLflow has no run of that name or id, neither active nor deleted."""


class ExperimentMissing(OperatorError):  # noqa: N818
    """MLflow has no experiment of that name or id, neither active nor deleted."""
