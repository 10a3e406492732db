"""MLflow in another version than this environment's: each in a virtual environment of its own, made once and kept.

They are kept in the user's cache ($XDG_CACHE_HOME, else ~/.cache, then mlflow-ops/mlflow), because each takes a minute
of pip and close to a gigabyte. Whoever is the first to want one makes it, and others wait for that; one that was
interrupted bears no mark of being whole and is made anew. Which version a folder's data was made by is noted in it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflow_ops_sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlflow_ops_sandbox.parts.folder import Folder

_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")
_BESIDE: Final = ("boto3", "psycopg2-binary", "psycopg[binary]", "setuptools<81", "sqlalchemy<2.1")
"""What a server on PostgreSQL and S3 needs besides; MLflow 2 imports what setuptools 81 and SQLAlchemy 2.1 have not."""
_MARK: Final = "whole"


def own_version() -> str:
    """The version of this environment."""
    return metadata.version("mlflow")


def python(version: str, say: Callable[[str], None]) -> Path:
    """The interpreter of an environment with that MLflow; it is installed if it is not there. Raises SandboxError."""
    if not _VERSION.fullmatch(version):
        msg = f"{version!r} is no version of MLflow: write it as 2.11.3."
        raise SandboxError(msg)
    if version == own_version():
        return Path(sys.executable)
    folder = _cache() / f"{version}-py{sys.version_info.major}{sys.version_info.minor}"
    interpreter = folder / "bin" / "python"
    with _alone(folder):
        if not (folder / _MARK).exists():
            say(f"Installing MLflow {version} in {folder}: once, for a minute or more.")
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(folder)], version)
            _run([str(interpreter), "-m", "pip", "install", "--quiet", f"mlflow=={version}", *_BESIDE], version)
            (folder / _MARK).touch()
    return interpreter


def chosen(folder: Folder, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The versions of a sandbox, the one that runs first: as wanted, else as when its data was made."""
    note = folder / "mlflow-versions"
    if wanted:
        note.write_text(" ".join(wanted), encoding="ascii")
        return wanted
    return tuple(note.read_text(encoding="ascii").split()) if note.exists() else (own_version(),)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(base) / "mlflow-ops" / "mlflow"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], version: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it does not say why"]
        msg = f"MLflow {version} could not be installed: {lines[-1].strip()}"
        raise SandboxError(msg)
