"""A cluster that only checks what it is given."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mlflow_ops_sandbox.cluster.testing import cluster_alone

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def promtool(tmp_path_factory):
    """Prometheus' own tool: where it is, else from Debian's package, without installing that."""
    found = shutil.which("promtool")
    if found:
        return found
    folder = tmp_path_factory.mktemp("prometheus")
    try:
        subprocess.run(["apt-get", "download", "prometheus"], cwd=folder, check=True, capture_output=True, timeout=120)
        (package,) = folder.glob("prometheus_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError, ValueError):
        pytest.skip("promtool is not here and Debian's package prometheus cannot be had")
    return folder / "usr" / "bin" / "promtool"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with cluster_alone(tmp_path_factory.mktemp("cluster"), secrets={}, config={}) as running:
        yield running


@pytest.fixture(scope="module")
def kubectl(cluster):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cluster.kubeconfig.parent),
        "KUBECONFIG": str(cluster.kubeconfig),
    }

    def run(*arguments, given=None):
        return subprocess.run(
            ["kubectl", *arguments],
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def script(text, **more):
        return subprocess.run(
            ["bash", "-c", text],
            env={**environment, **more},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    run.script = script
    return run
