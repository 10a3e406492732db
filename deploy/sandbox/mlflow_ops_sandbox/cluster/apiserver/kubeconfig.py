"""The files by which clients find the server: everything inline, readable by the owner only.

Written before the server listens, so whoever waits for the file still has to wait for the port.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlflow_ops_sandbox.cluster.apiserver.identity import User


@dataclass(frozen=True, slots=True)
class Entry:
    """What one kubeconfig says."""

    server: str
    authority: bytes
    user: User
    token: str
    namespace: str


def write_kubeconfig(path: Path, entry: Entry) -> None:
    """Write one kubeconfig, replacing an older one at once."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "sandbox",
                "cluster": {
                    "server": entry.server,
                    "certificate-authority-data": base64.b64encode(entry.authority).decode(),
                },
            }
        ],
        "users": [{"name": entry.user.name, "user": {"token": entry.token}}],
        "contexts": [
            {
                "name": "sandbox",
                "context": {"cluster": "sandbox", "user": entry.user.name, "namespace": entry.namespace},
            }
        ],
        "current-context": "sandbox",
        "preferences": {},
    }
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    temporary.replace(path)
