"""GitLab, by python-gitlab (https://docs.gitlab.com/api/rest/)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import gitlab
from gitlab.exceptions import GitlabError

from workers.systems.errors import GitConflict, GitError, GitMissing, GitTaken
from workers.systems.git.asking import Asking
from workers.systems.git.repository import SECONDS, TOKEN_HINT, ChangeRequest, Commit, GitFile, RequestState

if TYPE_CHECKING:
    from pydantic import SecretStr

    from workers.settings.gitops import Gitops

PUBLIC: Final = "https://gitlab.com"
_DEVELOPER: Final = 30
"""The least access level that may push (https://docs.gitlab.com/user/permissions/)."""
_STATES: Final = {
    "opened": RequestState.OPEN,
    "locked": RequestState.OPEN,
    "merged": RequestState.MERGED,
    "closed": RequestState.CLOSED,
}
"""locked: while it is being merged."""


@dataclass(frozen=True)
class GitLab:
    """One branch of one project. See workers.systems.git.repository."""

    client: gitlab.Gitlab
    name: str
    branch: str
    host: str

    @classmethod
    def connect(cls, where: Gitops, token: SecretStr) -> GitLab:
        """From ops.yaml and the token; nothing is asked yet."""
        address = str(where.url or PUBLIC).rstrip("/")
        client = gitlab.Gitlab(
            address,
            private_token=token.get_secret_value(),
            timeout=SECONDS,
            retry_transient_errors=False,
            user_agent="mlflow-ops",
        )
        return cls(client, where.repository or "", where.branch, address.partition("://")[2].partition("/")[0])

    @property
    def called(self) -> str:
        """See Repository."""
        return "merge request"

    @property
    def _project(self) -> Any:
        return self.client.projects.get(self.name, lazy=True)

    def may_push(self) -> bool:
        """See Repository."""
        with self._asked(f"the project {self.name}"):
            project: Any = self.client.projects.get(self.name)
            given = (project.permissions or {}).values()
            return any(each and each["access_level"] >= _DEVELOPER for each in given) and not project.archived

    def read(self, file: str) -> GitFile:
        """See Repository."""
        with self._asked(f"{file} on {self.branch}"):
            head = str(self._project.branches.get(self.branch).commit["id"])
            found = self._project.files.get(file, ref=head)
            try:
                return GitFile(found.decode().decode(), str(found.blob_id), head)
            except UnicodeDecodeError:
                raise GitError(f"{file} of {self.name} is not text.", "Change it by hand.") from None

    def request_of(self, branch: str) -> ChangeRequest | None:
        """See Repository."""
        with self._asked("its merge requests"):
            found = self._project.mergerequests.list(source_branch=branch, order_by="created_at", get_all=False)
            return _read(found[0]) if found else None

    def propose(self, commit: Commit, title: str, text: str) -> ChangeRequest:
        """See Repository; GitLab makes the branch with the commit."""
        action = {"action": "update", "file_path": commit.file, "content": commit.text}
        made = {"branch": commit.branch, "start_sha": commit.base, "commit_message": commit.message}
        with self._asked(f"the branch {commit.branch}"):
            self._project.commits.create({**made, "actions": [action]})
        asked = {"source_branch": commit.branch, "target_branch": self.branch, "title": title, "description": text}
        with self._asked("the merge request"):
            return _read(self._project.mergerequests.create({**asked, "remove_source_branch": True}))

    def request(self, number: int) -> ChangeRequest:
        """See Repository."""
        with self._asked(f"merge request {number}"):
            return _read(self._project.mergerequests.get(number))

    def _asked(self, what: str) -> AbstractContextManager[None]:
        return Asking("GitLab", self.host, GitlabError, self._translated).about(what)

    def _translated(self, error: GitlabError, what: str) -> GitError:
        words = " ".join(str(error.error_message or f"HTTP {error.response_code}").split())[:200].rstrip(".")
        match error.response_code:
            case HTTPStatus.UNAUTHORIZED:
                return GitError(f"GitLab at {self.host} does not accept our token: {words}.", TOKEN_HINT)
            case HTTPStatus.FORBIDDEN:
                return GitError(f"GitLab does not allow it ({what}): {words}.", TOKEN_HINT)
            case HTTPStatus.NOT_FOUND:
                message = f"GitLab has no such thing, or our token may not see it: {what}, in {self.name}."
                return GitMissing(message, "Check gitops in ops.yaml, and the token's projects.")
            case HTTPStatus.CONFLICT:
                return GitConflict(f"GitLab: {what}: {words}.", "Ask again.")
            case HTTPStatus.BAD_REQUEST if "already exists" in words:
                return GitTaken(f"GitLab: {what} exists already.", "Ask again.")
        return GitError(f"GitLab at {self.host} answers {error.response_code} about {what}: {words}.", "Ask again.")


def _read(found: Any) -> ChangeRequest:
    state = _STATES[found.state]
    commit = found.merge_commit_sha or found.squash_commit_sha or found.sha if state is RequestState.MERGED else ""
    return ChangeRequest(int(found.iid), str(found.web_url), state, str(commit or ""))
