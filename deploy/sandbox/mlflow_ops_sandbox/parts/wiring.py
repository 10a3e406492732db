"""How the parts learn of each other: the cluster's wiring, the Slack workspace, the sandbox's `ops.yaml`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from mlflow_ops_sandbox.parts.folder import write_json, write_private
from mlflow_ops_sandbox.parts.mlflow import environments, tracking
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.s3 import objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow_ops_sandbox.parts.credentials import Credentials
    from mlflow_ops_sandbox.parts.folder import Folder

NAMESPACE: Final = "data-platform"
OPS_CHANNEL: Final = "C07OPSCHAN1"
GENERAL_CHANNEL: Final = "C07GENERAL1"
APPROVERS: Final = "S07APPROVE1"
TEAM: Final = "S07DATATEAM"
BOT_USER: Final = "U07MLFLOWOP"
PEOPLE: Final = (
    {
        "id": "U07VERA0001",
        "name": "vera",
        "real_name": "Vera Lindqvist",
        "role_label": "viewer",
        "email": "vera.lindqvist@example.com",
    },
    {
        "id": "U07OMAR0002",
        "name": "omar",
        "real_name": "Omar Haddad",
        "role_label": "operator",
        "email": "omar.haddad@example.com",
    },
    {
        "id": "U07ADAO0003",
        "name": "ada",
        "real_name": "Ada Okafor",
        "role_label": "approver",
        "email": "ada.okafor@example.com",
    },
    {
        "id": "U07BENC0004",
        "name": "ben",
        "real_name": "Ben Castillo",
        "role_label": "approver",
        "email": "ben.castillo@example.com",
    },
    {
        "id": "U07NOOR0005",
        "name": "noor",
        "real_name": "Noor Aalto",
        "role_label": "admin",
        "email": "noor.aalto@example.com",
    },
)
_OPS_HEADER: Final = """\
# The sandbox's own policy: who may do what in its workspace, and what things are called in its cluster.
# Yours to edit: it is written once, and read by the bot and the workers when they start.
"""


def _people(role: str) -> list[str]:
    return [person["id"] for person in PEOPLE if person["role_label"] == role]


def write_ops(folder: Folder) -> None:
    """Write `ops.yaml` unless there is one."""
    path = folder / "ops.yaml"
    if path.exists():
        return
    document = {
        "channels": [OPS_CHANNEL],
        "roles": {
            "viewer": {"users": _people("viewer")},
            "operator": {"users": _people("operator")},
            "approver": {"groups": [APPROVERS]},
            "admin": {"users": _people("admin")},
        },
        "kubernetes": {"namespace": NAMESPACE},
        "storage": {"artifacts_bucket": objects.ARTIFACTS, "backups_bucket": objects.BACKUPS},
        "escalation": {"team": {"groups": [TEAM]}, "devops": {"users": _people("admin")}},
    }
    write_private(path, _OPS_HEADER + yaml.safe_dump(document, sort_keys=False))


def write_workspace(folder: Folder, credentials: Credentials, suggestions: Sequence[tuple[str, str]]) -> None:
    """Write the Slack workspace: its people, channels and the app's tokens."""
    document: dict[str, Any] = {
        "team": {"id": "T07CARBON25", "name": "254Carbon"},
        "bot": {"user_id": BOT_USER, "bot_id": "B07MLFLOWOP", "name": "mlflow-ops", "display": "mlflow-ops"},
        "tokens": {
            "bot": credentials.slack_bot_token,
            "app": credentials.slack_app_token,
            "signing_secret": credentials.slack_signing_secret,
        },
        "people": list(PEOPLE),
        "channels": [
            {"id": OPS_CHANNEL, "name": "ops", "topic": "Running the data platform"},
            {"id": GENERAL_CHANNEL, "name": "general", "topic": "Everything else"},
        ],
        "usergroups": [
            {"id": APPROVERS, "handle": "mlflow-approvers", "name": "MLflow approvers", "users": _people("approver")},
            {
                "id": TEAM,
                "handle": "data-platform",
                "name": "Data platform team",
                "users": [*_people("operator"), *_people("approver")],
            },
        ],
        "commands": [
            {
                "command": "/mlflow",
                "description": "Operate MLflow",
                "usage_hint": "health | help | …",
                "should_escape": True,
                "suggestions": [{"text": text, "help": meaning} for text, meaning in suggestions],
            }
        ],
        "mode": "socket",
        "request_url": None,
    }
    write_json(folder / "slack" / "workspace.json", document)


def port_of(version: str) -> str:
    """What the port of another version's server is called among the ports."""
    return f"mlflow-{version}"


def write_cluster(
    folder: Folder, ports: Mapping[str, int], credentials: Credentials, versions: Mapping[str, Path] | None = None
) -> None:
    """Write what the cluster stands in front of: the real processes behind its pods and Services.

    versions: the interpreters of MLflow by version, the one that runs first; else this environment's alone.
    """
    pythons = versions or {environments.own_version(): Path(sys.executable)}
    first, *others = pythons

    def place(part: str) -> dict[str, Any]:
        return {"log": str(folder.log(part)), "pid_file": str(folder.pid_file(part)), "port": ports[part]}

    document: dict[str, Any] = {
        "namespace": NAMESPACE,
        "mlflow": {
            "version": first,
            "python": str(pythons[first]),
            "other_versions": {
                version: {
                    "python": str(pythons[version]),
                    "command": tracking.command(pythons[version], version, ports[port_of(version)]),
                    "environ": tracking.server_environment(
                        pythons[version], ports, credentials, os.environ.get("PATH", os.defpath)
                    ),
                    "port": ports[port_of(version)],
                }
                for version in others
            },
            "upstream": f"http://{HOST}:{ports['mlflow']}",
            **place("mlflow"),
        },
        "postgres": {**place("postgres"), "image": "postgres:18"},
        "minio": {**place("objects"), "image": "minio/minio:RELEASE.2025-09-07T16-13-09Z"},
        "service_ports": {"mlflow": ports["service"]},
        "secrets": {
            "mlflow-backend-secret": {
                "MLFLOW_BACKEND_STORE_URI": tracking.backend_url(ports, credentials),
                "AWS_ACCESS_KEY_ID": credentials.s3_access_key,
                "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key,
            }
        },
        "config": {"gunicorn_workers": "4", "MLFLOW_S3_ENDPOINT_URL": objects.url(ports["objects"])},
    }
    write_json(folder / "kubernetes" / "wiring.json", document)
