"""Which system account runs what: PostgreSQL refuses to run as root, so root lends it another one.

Nothing is added to the system. The account `postgres` is taken where there is one, else `nobody`. It must be able to
reach its files: root's home, a temporary folder or a virtual environment is often closed to others, and opening
somebody's folders is not ours to do. What it cannot reach therefore stands in a folder under /var/tmp.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from mlflow_ops_sandbox.errors import SandboxError

_SHARED = Path("/var/tmp/mlflow-ops-sandbox")  # noqa: S108 - made by root, writable by root only


@dataclass(frozen=True, slots=True)
class Account:
    """A system account that a part runs as, and where it is at home."""

    uid: int
    gid: int
    home: Path


def unprivileged(preferred: Path) -> Account | None:
    """The account for what refuses to run as root, at home in `preferred` if it can get there; None for others."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, _home(preferred, entry))
    msg = "PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody': start as another user."
    raise SandboxError(msg)


def reachable(path: Path, uid: int, gid: int) -> bool:
    """Whether this account may go into `path` and into every folder above it."""
    for folder in (path, *path.parents):
        try:
            status = folder.stat()
        except FileNotFoundError:
            return False
        bit = stat.S_IXUSR if status.st_uid == uid else stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True


def _home(preferred: Path, entry: pwd.struct_passwd) -> Path:
    """Where the account is at home: where it was before, else `preferred`, else out of the closed folder."""
    elsewhere = _elsewhere(preferred)
    if elsewhere.exists():
        return elsewhere
    if reachable(preferred.parent, entry.pw_uid, entry.pw_gid):
        return preferred
    if preferred.exists():
        msg = f"{preferred} is closed to the account {entry.pw_name!r} by now: open the folders above it (chmod o+x)."
        raise SandboxError(msg)
    return elsewhere


def _elsewhere(preferred: Path) -> Path:
    digest = hashlib.sha256(str(preferred).encode()).hexdigest()[:16]
    return _SHARED / digest


def make_home(account: Account) -> None:
    """Make the account's home: its own, closed to others; the way to it stays root's."""
    if account.home.is_relative_to(_SHARED):
        _SHARED.mkdir(mode=0o711, parents=True, exist_ok=True)
        status = _SHARED.lstat()
        if status.st_uid != 0 or not stat.S_ISDIR(status.st_mode):
            msg = f"{_SHARED} is not root's folder: remove it, or start as another user."
            raise SandboxError(msg)
        _SHARED.chmod(0o711)
    account.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(account.home, account.uid, account.gid)
