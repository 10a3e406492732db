"""A cluster for each test of controllers."""

import threading

import pytest

from cluster_world import Server, Upstream, World
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster
from mlflow_ops_sandbox.cluster.wiring import wiring_from


@pytest.fixture(scope="module")
def wiring():
    server = Server(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield wiring_from(
        {"mlflow": {"upstream": f"http://127.0.0.1:{server.server_port}"}, "service_ports": {"mlflow": 0}}
    )
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(tmp_path, wiring):
    Upstream.healthy = True
    with running_cluster(Options(tmp_path, wiring)) as running:
        made = World(running)
        made.settle()
        yield made
