"""What is asked of a Git host, whichever it is: one file of one branch, and a request to change it.

The gateways behind it translate their libraries' exceptions into GitError and its kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

SECONDS: Final = 10
"""How long one call may take."""
TOKEN_HINT: Final = "Give the workers MLFLOW_OPS_GIT_TOKEN: a token that may read and write the repository's contents."  # noqa: S105 - a sentence


class RequestState(StrEnum):
    """What became of a request."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True)
class GitFile:
    """A file of the branch. version: what changes with its content. commit: the branch's head when it was read."""

    text: str
    version: str
    commit: str


@dataclass(frozen=True)
class ChangeRequest:
    """A pull or merge request. url: where people see it. commit: the one that it was merged as."""

    number: int
    url: str
    state: RequestState
    commit: str = ""


@dataclass(frozen=True)
class Commit:
    """One file's new content on a new branch. base: the commit that it begins from."""

    branch: str
    base: str
    file: str
    text: str
    version: str
    message: str


class Repository(Protocol):
    """One branch of one repository. Methods raise GitError."""

    @property
    def called(self) -> str:
        """What people call a request there: pull request, merge request."""

    def may_push(self) -> bool:
        """Whether our token may write. Raises GitMissing where it does not even see the repository."""

    def read(self, file: str) -> GitFile:
        """A file of the branch as it is now. Raises GitMissing."""

    def request_of(self, branch: str) -> ChangeRequest | None:
        """The newest request from a branch of that name, if there was one."""

    def propose(self, commit: Commit, title: str, text: str) -> ChangeRequest:
        """Make the branch with the commit, and ask for its merge. Raises GitTaken where there is such a branch."""

    def request(self, number: int) -> ChangeRequest:
        """A request as it is now."""
