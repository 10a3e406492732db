"""What the supervisor tells: which real processes stand behind the pods, and what the seeded objects hold.

Read from a JSON file; unknown keys are ignored, so the supervisor may be newer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Process:
    """A real process: where its output goes, the file that holds its id, and the port that it listens on."""

    log: Path | None = None
    pid_file: Path | None = None
    port: int = 0
    image: str = ""

    @classmethod
    def from_json(cls, body: dict[str, Any], image: str) -> Process:
        """Read one entry of the wiring."""
        log, pid_file = body.get("log"), body.get("pid_file")
        return cls(
            log=Path(log) if log else None,
            pid_file=Path(pid_file) if pid_file else None,
            port=int(body.get("port") or 0),
            image=str(body.get("image") or image),
        )

    def pid(self) -> int | None:
        """Return the id that the file holds now; None where there is none."""
        if self.pid_file is None:
            return None
        try:
            return int(self.pid_file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """MLflow in another version: its interpreter, and how its server is started, on which port."""

    python: str
    command: tuple[str, ...]
    environ: dict[str, str]
    port: int


@dataclass(frozen=True, slots=True)
class Wiring:
    """All of it."""

    namespace: str = "data-platform"
    version: str = "3.17.2"
    upstream: str = "http://127.0.0.1:5000"
    mlflow: Process = field(default_factory=Process)
    postgres: Process = field(default_factory=Process)
    minio: Process = field(default_factory=Process)
    service_ports: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    python: str = ""
    other_versions: dict[str, OtherVersion] = field(default_factory=dict)

    @property
    def mlflow_image(self) -> str:
        """Return the image that the Deployment is seeded with."""
        return self.mlflow.image or f"ghcr.io/mlflow/mlflow:v{self.version}"

    def process_of(self, application: str) -> Process | None:
        """Return the process behind pods with that ``app`` label."""
        return {"mlflow": self.mlflow, "postgres": self.postgres, "minio": self.minio}.get(application)


def read_wiring(path: Path) -> Wiring:
    """Read the file. Raises OSError or ValueError where it is missing or no JSON object."""
    return wiring_from(json.loads(path.read_text()))


def wiring_from(body: dict[str, Any]) -> Wiring:
    """Read the wiring from JSON."""
    mlflow = body.get("mlflow") or {}
    defaults = Wiring()
    return Wiring(
        namespace=str(body.get("namespace") or defaults.namespace),
        version=str(mlflow.get("version") or defaults.version).removeprefix("v"),
        upstream=str(mlflow.get("upstream") or defaults.upstream).rstrip("/"),
        mlflow=Process.from_json(mlflow, ""),
        postgres=Process.from_json(body.get("postgres") or {}, "postgres:15.18"),
        minio=Process.from_json(body.get("minio") or {}, "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z"),
        service_ports={key: int(value) for key, value in (body.get("service_ports") or {}).items()},
        secrets=body.get("secrets") or {},
        config={key: str(value) for key, value in (body.get("config") or {}).items()},
        python=str(mlflow.get("python") or ""),
        other_versions={
            version: OtherVersion(str(each["python"]), tuple(each["command"]), dict(each["environ"]), int(each["port"]))
            for version, each in (mlflow.get("other_versions") or {}).items()
        },
    )
