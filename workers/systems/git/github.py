"""GitHub, and GitHub Enterprise, by PyGithub (https://docs.github.com/en/rest).

PyGithub retries and sleeps by itself unless it is told not to; here a call is made once, within its time.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from github import Auth, Github, GithubException
from github.Repository import Repository as Remote

from workers.systems.errors import GitConflict, GitError, GitMissing, GitTaken
from workers.systems.git.asking import Asking
from workers.systems.git.repository import SECONDS, TOKEN_HINT, ChangeRequest, Commit, GitFile, RequestState

if TYPE_CHECKING:
    from github.PullRequest import PullRequest
    from pydantic import SecretStr

    from workers.settings.gitops import Gitops

PUBLIC: Final = "https://api.github.com"
_PER_PAGE: Final = 30


@dataclass(frozen=True)
class GitHub:
    """One branch of one repository. See workers.systems.git.repository."""

    remote: Remote
    name: str
    branch: str
    host: str

    @classmethod
    def connect(cls, where: Gitops, token: SecretStr) -> GitHub:
        """From ops.yaml and the token; nothing is asked yet."""
        address = str(where.url or PUBLIC).rstrip("/")
        client = Github(
            auth=Auth.Token(token.get_secret_value()),
            base_url=address,
            timeout=SECONDS,
            retry=None,
            per_page=_PER_PAGE,
            user_agent="mlflow-ops",
            lazy=True,
        )
        name = where.repository or ""
        host = address.partition("://")[2].partition("/")[0]
        return cls(client.get_repo(name), name, where.branch, host)

    @property
    def called(self) -> str:
        """See Repository."""
        return "pull request"

    def may_push(self) -> bool:
        """See Repository; what is archived takes no push."""
        with self._asked(f"the repository {self.name}"):
            self.remote.update()
            permissions = self.remote.permissions
            return bool(permissions and permissions.push) and not self.remote.archived

    def read(self, file: str) -> GitFile:
        """See Repository."""
        with self._asked(f"the branch {self.branch}"):
            head = self.remote.get_branch(self.branch).commit.sha
        with self._asked(f"{file} on {self.branch}"):
            found = self.remote.get_contents(file, ref=head)
            if isinstance(found, list) or found.type != "file":
                raise GitError(f"{file} of {self.name} is no file.", "Correct gitops.fields in ops.yaml.")
            try:
                return GitFile(found.decoded_content.decode(), found.sha, head)
            except (UnicodeDecodeError, AssertionError):
                raise GitError(f"{file} of {self.name} is not text, or too large.", "Change it by hand.") from None

    def request_of(self, branch: str) -> ChangeRequest | None:
        """See Repository."""
        owner = self.name.partition("/")[0]
        with self._asked("its pull requests"):
            for found in self.remote.get_pulls(state="all", head=f"{owner}:{branch}", sort="created", direction="desc"):
                return _read(found)
        return None

    def propose(self, commit: Commit, title: str, text: str) -> ChangeRequest:
        """See Repository."""
        with self._asked(f"the branch {commit.branch}"):
            self.remote.create_git_ref(f"refs/heads/{commit.branch}", commit.base)
        with self._asked(f"{commit.file} on {commit.branch}"):
            self.remote.update_file(
                commit.file, commit.message, commit.text.encode(), commit.version, branch=commit.branch
            )
        with self._asked("the pull request"):
            return _read(self.remote.create_pull(base=self.branch, head=commit.branch, title=title, body=text))

    def request(self, number: int) -> ChangeRequest:
        """See Repository."""
        with self._asked(f"pull request {number}"):
            return _read(self.remote.get_pull(number))

    def _asked(self, what: str) -> AbstractContextManager[None]:
        return Asking("GitHub", self.host, GithubException, self._translated).about(what)

    def _translated(self, error: GithubException, what: str) -> GitError:
        said = error.data.get("message") if isinstance(error.data, dict) else None
        words = " ".join(str(said or f"HTTP {error.status}").split())[:200].rstrip(".")
        match error.status:
            case HTTPStatus.UNAUTHORIZED:
                return GitError(f"GitHub at {self.host} does not accept our token: {words}.", TOKEN_HINT)
            case HTTPStatus.FORBIDDEN:
                return GitError(f"GitHub does not allow it ({what}): {words}.", TOKEN_HINT)
            case HTTPStatus.NOT_FOUND:
                message = f"GitHub has no such thing, or our token may not see it: {what}, in {self.name}."
                return GitMissing(message, "Check gitops in ops.yaml, and the token's repositories.")
            case HTTPStatus.CONFLICT:
                return GitConflict(f"GitHub: {what} was changed at the same moment: {words}.", "Ask again.")
            case HTTPStatus.UNPROCESSABLE_ENTITY if words == "Reference already exists":
                return GitTaken(f"GitHub: {what} exists already.", "Ask again.")
        return GitError(f"GitHub at {self.host} answers {error.status} about {what}: {words}.", "Ask again later.")


def _read(found: PullRequest) -> ChangeRequest:
    """Raises KeyError for what is no pull request: an answer without a state must not count as closed."""
    state = {"open": RequestState.OPEN, "closed": RequestState.CLOSED}[found.state]
    if found.merged_at is not None:
        state = RequestState.MERGED
    return ChangeRequest(found.number, found.html_url, state, found.merge_commit_sha or "")
