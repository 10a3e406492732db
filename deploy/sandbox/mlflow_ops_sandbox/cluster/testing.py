"""A cluster within another program, for tests of whatever talks to Kubernetes.

It runs in a thread with its own event loop, on free ports, and at a quick pace::

    with running_cluster(Options(data=tmp_path, wiring=wiring)) as cluster:
        config.load_kube_config(str(cluster.kubeconfig))
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.cluster import Cluster, Options
from mlflow_ops_sandbox.cluster.kubelet.pace import Pace
from mlflow_ops_sandbox.cluster.wiring import wiring_from
from mlflow_ops_sandbox.patience import stretched

QUICK = Pace(
    probe_period=0.05, start=0.0, pull=0.05, crash_after=0.05, back_off=0.2, drain=0.3, job_back_off=0.1, resync=0.1,
    sync=0.2, retry=0.5, autoscale=0.3, downscale=2.0,
)  # fmt: skip
_START_SECONDS = 30.0
_Result = TypeVar("_Result")


class EmbeddedCluster:
    """A cluster that runs in a thread."""

    def __init__(self, cluster: Cluster, loop: asyncio.AbstractEventLoop) -> None:
        self._cluster = cluster
        self._loop = loop

    @property
    def cluster(self) -> Cluster:
        """Return the cluster itself; it belongs to the thread, so use ``call`` for more than a glance."""
        return self._cluster

    @property
    def kubeconfig(self) -> Path:
        """Return the admin's kubeconfig; the worker's stands beside it."""
        return self._cluster.kubeconfig

    @property
    def control(self) -> str:
        """Return the address of the control endpoint."""
        return f"http://127.0.0.1:{self._cluster.control_port}"

    def service(self, name: str) -> str:
        """Return the address of a Service's port."""
        return f"http://127.0.0.1:{self._cluster.service_ports[name]}"

    def call(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do something within the cluster's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_SECONDS)


@contextmanager
def running_cluster(options: Options) -> Iterator[EmbeddedCluster]:
    """Run a cluster for the length of a with block. A pace that was not chosen is quick.

    Its seed, by which controllers are late, is drawn and printed; LAG_SEED in the environment repeats a run.
    """
    if options.pace == Pace():
        seed = int(os.environ.get("LAG_SEED") or random.SystemRandom().randrange(10_000))
        print(f"LAG_SEED={seed}")  # noqa: T201 - pytest shows it beside a failure
        options = replace(options, pace=replace(QUICK, seed=seed), metrics_period=0.5)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    cluster = asyncio.run_coroutine_threadsafe(_start(options), loop).result(_START_SECONDS)
    embedded = EmbeddedCluster(cluster, loop)
    try:
        yield embedded
    finally:
        embedded.call(cluster.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_START_SECONDS)
        loop.close()


class _Healthy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def healthy_upstream() -> Iterator[int]:
    """Serve what stands behind the pods of MLflow, healthy and nothing else; yield its port on 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def cluster_alone(folder: Path, *, secrets: Object, config: Object) -> Iterator[EmbeddedCluster]:
    """Run a cluster of which all that is real is its API: MLflow, PostgreSQL and MinIO are one healthy upstream.

    folder: an empty one. secrets, config: what `wiring` takes for the Secrets and the ConfigMap.
    """
    with healthy_upstream() as port:
        (folder / "pid").write_text(str(os.getpid()))
        (folder / "output").write_text("starting\nready\n")
        process = {"pid_file": str(folder / "pid"), "log": str(folder / "output"), "port": port}
        wiring = wiring_from(
            {
                "mlflow": {**process, "version": "3.17.2", "upstream": f"http://127.0.0.1:{port}"},
                "postgres": process,
                "minio": process,
                "service_ports": {"mlflow": 0},
                "secrets": secrets,
                "config": config,
            }
        )
        with running_cluster(Options(folder / "data", wiring)) as running:
            yield running


async def _start(options: Options) -> Cluster:
    cluster = Cluster(options)
    await cluster.start()
    return cluster


def until(look: Callable[[], _Result], seconds: float = 15.0) -> _Result:
    """Look again and again until there is something (true), and return it. Raises TimeoutError.

    seconds: of a machine at rest.
    """
    began = time.monotonic()
    while not (found := look()):
        if time.monotonic() - began > stretched(seconds):
            message = f"it did not come to be within {time.monotonic() - began:.0f} s"
            raise TimeoutError(message)
        time.sleep(0.02)
    return found
