"""The Git host and its reconciler: only in a sandbox that was begun with --gitops, and in that one from then on.

Whether that is so is a folder: what Git manages stays marked as managed, so leaving the part out at a later start would
leave objects that nobody reconciles.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import yaml

from mlflow_ops_sandbox.parts import web
from mlflow_ops_sandbox.parts.folder import write_private
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.process import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow_ops_sandbox.parts.credentials import Credentials
    from mlflow_ops_sandbox.parts.folder import Folder

MODES: Final = ("warn", "refuse", "propose")
REPOSITORY: Final = "254carbon/platform"
BRANCH: Final = "main"
_DEPLOYMENT: Final = "apps/mlflow/deployment.yaml"
_CONTAINER: Final = "spec.template.spec.containers[name=mlflow]"


def is_on(folder: Folder) -> bool:
    """Whether this sandbox has the part."""
    return (folder / "git").exists()


def turn_on(folder: Folder, ports: Mapping[str, int], mode: str) -> None:
    """Have it from now on, and say in `ops.yaml` what the bot does with what Git manages."""
    (folder / "git").mkdir(exist_ok=True, mode=0o700)
    path = folder / "ops.yaml"
    text = path.read_text(encoding="utf-8")
    header = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    document: dict[str, Any] = yaml.safe_load(text)
    document["kubernetes"] = {**(document.get("kubernetes") or {}), "gitops": mode}
    fields = {
        "replicas": {"file": _DEPLOYMENT, "path": "spec.replicas"},
        "image": {"file": _DEPLOYMENT, "path": f"{_CONTAINER}.image"},
        "resources": {"file": _DEPLOYMENT, "path": f"{_CONTAINER}.resources"},
        "config": {"file": "apps/mlflow/configmap.yaml", "path": "data"},
    }
    document["gitops"] = {
        "provider": "github",
        "url": f"{url(ports)}/api/v3",
        "repository": REPOSITORY,
        "branch": BRANCH,
        "fields": fields,
    }
    write_private(path, header + yaml.safe_dump(document, sort_keys=False))


def url(ports: Mapping[str, int]) -> str:
    """The page's address."""
    return f"http://{HOST}:{ports['git']}"


def worker_environment(folder: Folder, credentials: Credentials) -> dict[str, str]:
    """What the workers know of it."""
    return {"MLFLOW_OPS_GIT_TOKEN": credentials.git_token} if is_on(folder) else {}


def user_environment(folder: Folder, ports: Mapping[str, int]) -> dict[str, str]:
    """What `sandbox env` prints of it."""
    return {"MLFLOW_OPS_SANDBOX_GIT": f"{url(ports)}/"} if is_on(folder) else {}


def part(
    folder: Folder, ports: Mapping[str, int], credentials: Credentials, environ: Mapping[str, str], namespace: str
) -> Part:
    """Its process."""

    async def ready() -> bool:
        return await web.answers(ports["git"], "/healthz")

    return Part(
        name="git",
        what="a Git host and what it reconciles",
        port=ports["git"],
        command=(
            *(sys.executable, "-m", "mlflow_ops_sandbox.git", "--port", str(ports["git"])),
            *("--data", str(folder / "git"), "--kubeconfig", str(folder / "kubernetes" / "kubeconfig")),
            *("--namespace", namespace),
        ),
        environ={**environ, "MLFLOW_OPS_SANDBOX_GIT_TOKEN": credentials.git_token},
        ready=ready,
        after=("kubernetes",),
    )
