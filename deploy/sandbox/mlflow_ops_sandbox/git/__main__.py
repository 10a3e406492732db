"""`python -m mlflow_ops_sandbox.git`: serve the repository and reconcile the cluster until told to stop.

The token that lets the bot in is in the environment, MLFLOW_OPS_SANDBOX_GIT_TOKEN: arguments can be seen by others.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from aiohttp import web

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.git import manifests
from mlflow_ops_sandbox.git.api import Host
from mlflow_ops_sandbox.git.pulls import Pulls
from mlflow_ops_sandbox.git.reconciler import Api, Reconciler
from mlflow_ops_sandbox.git.server import create_app
from mlflow_ops_sandbox.git.store import Store
from mlflow_ops_sandbox.parts.gitops import BRANCH, REPOSITORY
from mlflow_ops_sandbox.parts.ports import HOST

TOKEN: Final = "MLFLOW_OPS_SANDBOX_GIT_TOKEN"  # noqa: S105 - a variable's name


def main() -> int:
    """Read the command line and serve; return the exit status."""
    parser = argparse.ArgumentParser(prog="mlflow_ops_sandbox.git", description="A Git host on this machine.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--data", type=Path, required=True, help="directory of the repository")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="the cluster that is reconciled")
    parser.add_argument("--namespace", required=True, help="where MLflow is")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    api = Api.of(args.kubeconfig)
    store = Store(args.data / "repository.git")
    try:
        store.create(BRANCH, asyncio.run(_first(api, args.namespace)), "MLflow as it runs")
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    url = f"http://{HOST}:{args.port}"
    pulls = Pulls(args.data / "pulls.json", store)
    app = create_app(Host(REPOSITORY, BRANCH, store, pulls, {os.environ[TOKEN]: "write"}, url))

    async def reconcile(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(Reconciler(store, BRANCH, api).run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    app.cleanup_ctx.append(reconcile)
    web.run_app(app, host=HOST, port=args.port, access_log=None, print=None, shutdown_timeout=1.0)
    return 0


async def _first(api: Api, namespace: str) -> dict[str, str]:
    """The files that the repository begins with, from what is in the cluster."""
    deployment = await api.call("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/mlflow")
    config_map = await api.call("GET", f"/api/v1/namespaces/{namespace}/configmaps/mlflow-config")
    return manifests.files(deployment, config_map)


if __name__ == "__main__":
    sys.exit(main())
