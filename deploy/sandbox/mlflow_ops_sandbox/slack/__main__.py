"""`python -m mlflow_ops_sandbox.slack`: serve the local Slack until told to stop (SIGTERM, Ctrl-C)."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from aiohttp import web

from mlflow_ops_sandbox.slack import Workspace, create_app
from mlflow_ops_sandbox.slack.panel import Surroundings
from mlflow_ops_sandbox.slack.server import INSTALLATION

HOST = "127.0.0.1"
GRACE = 2.0


def main() -> int:
    """Read the command line and serve; return the exit status."""
    parser = argparse.ArgumentParser(prog="mlflow_ops_sandbox.slack", description="A Slack on this machine.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--data", type=Path, required=True, help="directory for messages and files")
    parser.add_argument("--workspace", type=Path, required=True, help="JSON: people, channels, tokens")
    parser.add_argument("--control", metavar="URL", help="the cluster's control address, for the panel")
    parser.add_argument("--folder", type=Path, help="the sandbox's folder, whose processes the panel may signal")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        workspace = Workspace.load(args.workspace)
        around = Surroundings(args.control, args.folder) if args.control or args.folder else None
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    app = create_app(workspace, args.data, surroundings=around)
    app[INSTALLATION].base_url = f"http://{HOST}:{args.port}"
    web.run_app(
        app,
        host=HOST,
        port=args.port,
        access_log=None,
        print=None,
        shutdown_timeout=GRACE,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
