"""The sandbox's secrets: random, made once per data folder, readable by its owner only."""

from __future__ import annotations

import base64
import secrets
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.parts.folder import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Credentials:
    """One value per thing that asks for one."""

    postgres_admin: str
    postgres_mlflow: str
    redis: str
    s3_access_key: str
    s3_secret_key: str
    slack_bot_token: str
    slack_app_token: str
    slack_signing_secret: str
    backup_key: str
    alerts_secret: str
    git_token: str


def _new() -> dict[str, str]:
    return {
        "postgres_admin": secrets.token_urlsafe(24),
        "postgres_mlflow": secrets.token_urlsafe(24),
        "redis": secrets.token_urlsafe(24),
        "s3_access_key": "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16)),
        "s3_secret_key": secrets.token_urlsafe(30),
        "slack_bot_token": f"xoxb-{secrets.randbelow(10**12):012d}-{secrets.token_hex(12)}",
        "slack_app_token": f"xapp-1-{secrets.randbelow(10**12):012d}-{secrets.token_hex(32)}",
        "slack_signing_secret": secrets.token_hex(16),
        "alerts_secret": secrets.token_hex(16),
        "git_token": f"ghp_{secrets.token_hex(18)}",
        "backup_key": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def load(path: Path) -> Credentials:
    """Read the secrets from `path`; what is missing there is made and written."""
    known = read_json(path)
    names = [field.name for field in fields(Credentials)]
    merged = _new() | {name: str(known[name]) for name in names if name in known}
    credentials = Credentials(**merged)
    if asdict(credentials) != known:
        write_json(path, asdict(credentials))
    return credentials
