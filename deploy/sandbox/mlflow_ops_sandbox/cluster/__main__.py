"""``python -m mlflow_ops_sandbox.cluster --port N --data DIR --wiring FILE [--control-port N]``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from mlflow_ops_sandbox.cluster.cluster import Cluster, Options
from mlflow_ops_sandbox.cluster.wiring import read_wiring

_LOG = logging.getLogger("sandbox.kubernetes")


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m mlflow_ops_sandbox.cluster", description="A small Kubernetes.")
    parser.add_argument("--port", type=int, required=True, help="HTTPS port of the API; 0 picks a free one")
    parser.add_argument("--control-port", type=int, default=-1, help="HTTP port of the control endpoint; -1 is none")
    parser.add_argument("--data", type=Path, required=True, help="directory of state, logs and kubeconfig")
    parser.add_argument("--wiring", type=Path, required=True, help="JSON file: the real processes behind the pods")
    given = parser.parse_args()
    try:
        wiring = read_wiring(given.wiring)
    except (OSError, ValueError) as problem:
        parser.error(f"--wiring {given.wiring}: {problem}")
    return Options(given.data, wiring, given.port, given.control_port)


async def _run(options: Options) -> None:
    cluster = Cluster(options)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await cluster.start()
    _LOG.info("listening on https://127.0.0.1:%d, kubeconfig %s", cluster.port, cluster.kubeconfig)
    await stop.wait()
    await cluster.stop()


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    asyncio.run(_run(_options()))


if __name__ == "__main__":
    main()
