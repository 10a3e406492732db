"""The object store: S3 over HTTP with the buckets for artifacts (versioned) and for backups."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from mlflow_ops_sandbox.parts import web
from mlflow_ops_sandbox.parts.folder import write_json
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.process import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow_ops_sandbox.parts.credentials import Credentials
    from mlflow_ops_sandbox.parts.folder import Folder

ARTIFACTS: Final = "mlflow-artifacts"
BACKUPS: Final = "mlflow-backups"
REGION: Final = "us-east-1"


def url(port: int) -> str:
    """The endpoint."""
    return f"http://{HOST}:{port}"


def client_environment(port: int, credentials: Credentials) -> dict[str, str]:
    """What an S3 client needs."""
    return {
        "AWS_ACCESS_KEY_ID": credentials.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_S3": url(port),
        "MLFLOW_S3_ENDPOINT_URL": url(port),
    }


def part(folder: Folder, *, port: int, credentials: Credentials, environ: Mapping[str, str]) -> Part:
    """The object store as a part of the sandbox."""
    data = folder / "objects"

    def prepare() -> None:
        write_json(
            data / "server.json",
            {
                "access_key": credentials.s3_access_key,
                "secret_key": credentials.s3_secret_key,
                "region": REGION,
                "buckets": {ARTIFACTS: {"versioning": True}, BACKUPS: {"versioning": False}},
            },
        )

    async def ready() -> bool:
        return await web.answers(port, "/moto-api/")

    return Part(
        name="objects",
        what="S3, artifacts and backups",
        port=port,
        command=(sys.executable, "-m", "mlflow_ops_sandbox.parts.s3.server", "--port", str(port), "--data", str(data)),
        environ=environ,
        prepare=prepare,
        ready=ready,
        patience=15.0,
    )
