"""MLflow: its own server, on the sandbox's database and object store.

One worker and no job runner: 440 MB instead of 2.2 GB. The database's address goes through the environment, because it
holds the password. Started as soon as the database is there; making the schema is what a first start waits for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from mlflow_ops_sandbox.parts import postgres, web
from mlflow_ops_sandbox.parts.mlflow import environments
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.process import Part
from mlflow_ops_sandbox.parts.s3 import objects

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlflow_ops_sandbox.parts.credentials import Credentials
    from mlflow_ops_sandbox.parts.folder import Folder

# The names under which the cluster's Service is asked for; MLflow refuses others (DNS rebinding).
_ALLOWED_HOSTS: Final = ",".join(
    ("localhost", "localhost:*", HOST, f"{HOST}:*", "mlflow", "mlflow:*", "mlflow.data-platform*", "mlflow.*")
)


_ARTIFACTS: Final = f"s3://{objects.ARTIFACTS}"


def backend_url(ports: Mapping[str, int], credentials: Credentials) -> str:
    """The backend store's address, as MLflow takes it."""
    return postgres.url(ports["postgres"], postgres.OWNER, credentials.postgres_mlflow, postgres.DATABASE)


def command(python: Path, version: str, port: int) -> tuple[str, ...]:
    """How a server of a version is started; one of this environment without importing MLflow twice."""
    arguments = ("--host", HOST, "--port", str(port), "--workers", "1", "--artifacts-destination", _ARTIFACTS)
    if version == environments.own_version():
        program = ("-m", "mlflow_ops_sandbox.parts.mlflow.server")
        return (str(python), *program, *arguments, "--allowed-hosts", _ALLOWED_HOSTS)
    return (str(python), "-m", "mlflow", "server", *arguments)


def server_environment(python: Path, ports: Mapping[str, int], credentials: Credentials, path: str) -> dict[str, str]:
    """What a server needs in its environment. path: PATH; gunicorn, which older versions start by name, comes first."""
    return {
        **objects.client_environment(ports["objects"], credentials),
        "PATH": f"{python.parent}{os.pathsep}{path}",
        "MLFLOW_BACKEND_STORE_URI": backend_url(ports, credentials),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # Those that know it refuse other names; those that do not ignore it.
        "MLFLOW_SERVER_ALLOWED_HOSTS": _ALLOWED_HOSTS,
    }


def part(  # noqa: PLR0913 - a part has many sides
    folder: Folder,
    *,
    ports: Mapping[str, int],
    credentials: Credentials,
    environ: Mapping[str, str],
    version: str,
    python: Path,
) -> Part:
    """MLflow as a part of the sandbox. python: the interpreter of an environment with that version."""
    port = ports["mlflow"]
    home = folder / "mlflow"

    async def ready() -> bool:
        # /health answers also without a database; this question needs one.
        return await web.answers(port, "/api/2.0/mlflow/experiments/search?max_results=1")

    return Part(
        name="mlflow",
        what=f"MLflow {version}'s tracking server",
        port=port,
        command=command(python, version, port),
        environ={**environ, **server_environment(python, ports, credentials, environ["PATH"])},
        prepare=lambda: home.mkdir(mode=0o700, exist_ok=True),
        ready=ready,
        after=("postgres",),
        deadline=180.0,
    )
