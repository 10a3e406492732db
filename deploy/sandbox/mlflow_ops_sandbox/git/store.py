"""A bare repository, by the program `git`: read, branched, committed to and merged without a work tree.

One writer at a time, in this process only; refs are moved with their old value, so git itself refuses a lost race.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_ops_sandbox.errors import SandboxError

_AUTHOR = {"GIT_AUTHOR_NAME": "mlflow-ops", "GIT_AUTHOR_EMAIL": "mlflow-ops@example.com"}
_COMMITTER = {"GIT_COMMITTER_NAME": "mlflow-ops", "GIT_COMMITTER_EMAIL": "mlflow-ops@example.com"}
_NO_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
_NULL = "0" * 40


class Missing(Exception):  # noqa: N818 - it is named after what happened
    """There is no such branch, file or commit."""


class Conflict(Exception):  # noqa: N818 - it is named after what happened
    """What was to be replaced is another meanwhile, or cannot be merged."""


@dataclass(frozen=True)
class Blob:
    """A file at a commit. version: git's name for its content."""

    content: bytes
    version: str


@dataclass(frozen=True)
class Store:
    """The repository in a folder. Methods raise Missing."""

    path: Path
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def create(self, branch: str, files: Mapping[str, str], message: str) -> None:
        """Make it with one commit, unless it is there. Raises SandboxError where there is no git."""
        if (self.path / "HEAD").exists():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._git("init", "--bare", "--quiet", f"--initial-branch={branch}")
        except FileNotFoundError:
            raise SandboxError("There is no program git on PATH: install it, or leave --gitops out.") from None
        tree = self._tree(None, {name: text.encode() for name, text in files.items()})
        commit = self._git("commit-tree", tree, "-m", message)
        self._git("update-ref", f"refs/heads/{branch}", commit)

    def head(self, branch: str) -> str:
        """The commit of a branch."""
        return self._resolved(f"refs/heads/{branch}")

    def branches(self) -> list[str]:
        """Their names."""
        return self._git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").split()

    def is_commit(self, sha: str) -> bool:
        """Whether there is such a commit."""
        try:
            return self._git("cat-file", "-t", sha) == "commit"
        except Missing:
            return False

    def commit_of(self, ref: str) -> str:
        """The commit that a branch, a ref or an abbreviated name stands for."""
        for name in (f"refs/heads/{ref}", ref):
            try:
                return self._resolved(name)
            except Missing:
                continue
        raise Missing(ref)

    def read(self, ref: str, path: str) -> Blob:
        """A file at a commit."""
        version = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{self.commit_of(ref)}:{path}")
        if self._git("cat-file", "-t", version) != "blob":
            raise Missing(path)
        return Blob(self._raw("cat-file", "blob", version), version)

    def files(self, ref: str, below: str) -> list[str]:
        """The paths of the files below a folder."""
        return self._git("ls-tree", "-r", "--name-only", self.commit_of(ref), "--", f"{below}/").splitlines()

    def create_branch(self, name: str, commit: str) -> None:
        """Make a branch. Raises Conflict where there is one of that name."""
        with self._lock:
            if name in self.branches():
                raise Conflict(name)
            self._git("update-ref", f"refs/heads/{name}", commit, _NULL)

    def commit(self, branch: str, path: str, content: bytes, message: str) -> str:
        """Put a file's new content on a branch; the commit."""
        with self._lock:
            parent = self.head(branch)
            tree = self._tree(parent, {path: content})
            made = self._git("commit-tree", tree, "-p", parent, "-m", message)
            self._git("update-ref", f"refs/heads/{branch}", made, parent)
            return made

    def merge(self, base: str, head: str, message: str) -> str:
        """Merge one branch into another; the merge commit. Raises Conflict where both changed the same lines."""
        with self._lock:
            ours, theirs = self.head(base), self.head(head)
            try:
                tree = self._git("merge-tree", "--write-tree", ours, theirs).splitlines()[0]
            except Missing:
                raise Conflict(head) from None
            made = self._git("commit-tree", tree, "-p", ours, "-p", theirs, "-m", message)
            self._git("update-ref", f"refs/heads/{base}", made, ours)
            return made

    def ahead(self, base: str, head: str) -> int:
        """How many commits a branch has that another has not."""
        return int(self._git("rev-list", "--count", f"{self.head(base)}..{self.head(head)}"))

    def diff(self, base: str, head: str) -> str:
        """What a commit changes, since it parted from another."""
        return self._git("diff", "--no-color", f"{base}...{head}")

    def _resolved(self, name: str) -> str:
        return self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    def _tree(self, parent: str | None, files: Mapping[str, bytes]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            if parent is not None:
                self._git("read-tree", parent, env=index)
            for path, content in files.items():
                blob = self._raw("hash-object", "-w", "--stdin", given=content).decode().strip()
                self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index)
            return self._git("write-tree", env=index)

    def _git(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        return self._raw(*arguments, env=env).decode("utf-8", "replace").strip()

    def _raw(self, *arguments: str, given: bytes | None = None, env: Mapping[str, str] | None = None) -> bytes:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["git", "--git-dir", str(self.path), *arguments],
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            env={**kept, **_NO_SETTINGS, **_AUTHOR, **_COMMITTER, **(env or {})},
            timeout=20,
            check=False,
        )
        if done.returncode:
            raise Missing(" ".join(arguments[:2]))
        return done.stdout
