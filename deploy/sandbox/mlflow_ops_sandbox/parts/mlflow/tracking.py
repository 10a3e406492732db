"""MLflow: its own server, on the sandbox's database and object store.

One worker and no job runner: 440 MB instead of 2.2 GB. The database's address goes through the environment, because it
holds the password. Started as soon as the database is there; making the schema is what a first start waits for.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from mlflow_ops_sandbox.parts import postgres, web
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.process import Part
from mlflow_ops_sandbox.parts.s3 import objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow_ops_sandbox.parts.credentials import Credentials
    from mlflow_ops_sandbox.parts.folder import Folder

# The names under which the cluster's Service is asked for; MLflow refuses others (DNS rebinding).
_ALLOWED_HOSTS: Final = ",".join(
    ("localhost", "localhost:*", HOST, f"{HOST}:*", "mlflow", "mlflow:*", "mlflow.data-platform*", "mlflow.*")
)


def backend_url(ports: Mapping[str, int], credentials: Credentials) -> str:
    """The backend store's address, as MLflow takes it."""
    return postgres.url(ports["postgres"], postgres.OWNER, credentials.postgres_mlflow, postgres.DATABASE)


def part(folder: Folder, *, ports: Mapping[str, int], credentials: Credentials, environ: Mapping[str, str]) -> Part:
    """MLflow as a part of the sandbox."""
    port = ports["mlflow"]
    home = folder / "mlflow"

    async def ready() -> bool:
        # /health answers also without a database; this question needs one.
        return await web.answers(port, "/api/2.0/mlflow/experiments/search?max_results=1")

    return Part(
        name="mlflow",
        what="MLflow's tracking server",
        port=port,
        command=(
            *(sys.executable, "-m", "mlflow_ops_sandbox.parts.mlflow.server"),
            *("--host", HOST, "--port", str(port), "--workers", "1"),
            *("--artifacts-destination", f"s3://{objects.ARTIFACTS}", "--allowed-hosts", _ALLOWED_HOSTS),
        ),
        environ={
            **environ,
            **objects.client_environment(ports["objects"], credentials),
            "MLFLOW_BACKEND_STORE_URI": backend_url(ports, credentials),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        },
        prepare=lambda: home.mkdir(mode=0o700, exist_ok=True),
        ready=ready,
        after=("postgres",),
        deadline=180.0,
    )
