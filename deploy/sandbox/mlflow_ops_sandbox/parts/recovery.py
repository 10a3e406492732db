"""Point-in-time recovery in the sandbox: the process that keeps the WAL, and what a private PostgreSQL needs here.

It is on where the sandbox's ops.yaml says so. PostgreSQL does not run as root: where the sandbox does, the workers are
told the account that it lends to its own server.
"""

from __future__ import annotations

import pwd
import sys
from typing import TYPE_CHECKING, Any

import yaml

from mlflow_ops_sandbox.parts import accounts, postgres
from mlflow_ops_sandbox.parts.folder import write_private
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.process import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow_ops_sandbox.parts.folder import Folder

FLUSH_SECONDS = 5


def is_on(folder: Folder) -> bool:
    """Whether this sandbox keeps its server's WAL."""
    path = folder / "ops.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    return bool((document.get("recovery") or {}).get("point_in_time"))


def turn_on(folder: Folder, peek_port: int) -> None:
    """Have it kept from now on. peek_port: where MLflow as it was is to be seen."""
    path = folder / "ops.yaml"
    text = path.read_text(encoding="utf-8")
    header = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    document: dict[str, Any] = yaml.safe_load(text)
    recovery = {"point_in_time": True, "flush_seconds": FLUSH_SECONDS}
    document["recovery"] = {**recovery, **(document.get("recovery") or {}), "point_in_time": True}
    # Its pod listens on this machine's own loopback address, as all that runs here does.
    document["peek"] = {"url": f"http://{HOST}:{peek_port}", "port": peek_port}
    write_private(path, header + yaml.safe_dump(document, sort_keys=False))


def worker_environment(folder: Folder, major: int | None) -> dict[str, str]:
    """What the workers know of it. major: the server's version; else that of its data."""
    account = accounts.unprivileged(folder / "postgres")
    programs = {"MLFLOW_OPS_POSTGRES_SERVER_BIN": str(postgres.programs_of(folder, major))}
    return programs | ({"MLFLOW_OPS_POSTGRES_ACCOUNT": pwd.getpwuid(account.uid).pw_name} if account else {})


def part(worker: Mapping[str, str]) -> Part:
    """Its process."""
    return Part(
        name="wal",
        what="what keeps PostgreSQL's WAL",
        command=(sys.executable, "-m", "bot", "wal"),
        environ=worker,
        after=("redis", "postgres", "objects"),
    )
