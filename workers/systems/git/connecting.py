"""Which Git host it is: the gateway of ops.yaml's provider; only the one that is used is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.errors import OperatorError
from workers.systems.git.repository import TOKEN_HINT

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems.git.repository import Repository


def connect(settings: Settings) -> Repository:
    """The repository of ops.yaml. Raises OperatorError without a token or a name."""
    token, where = settings.environment.git_token, settings.ops.gitops
    if where.repository is None:
        raise OperatorError("ops.yaml names no repository.", "Set gitops.repository in ops.yaml.")
    if token is None:
        raise OperatorError("MLFLOW_OPS_GIT_TOKEN is not set, so nothing can be proposed in Git.", TOKEN_HINT)
    if where.provider == "gitlab":
        from workers.systems.git.gitlab import GitLab

        return GitLab.connect(where, token)
    from workers.systems.git.github import GitHub

    return GitHub.connect(where, token)
