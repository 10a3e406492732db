"""The same tests against any cluster with MLflow, PostgreSQL and an S3 store in it, or against the sandbox.

    pytest tests/cluster --kubeconfig ~/.kube/config --namespace data-platform

Where --kubeconfig is given, the environment is that of a worker (README: MLFLOW_TRACKING_URI, MLFLOW_OPS_DATABASE_URL,
AWS_…, REDIS_URL, and MLFLOW_OPS_CONFIG where names differ); --namespace goes before what ops.yaml says.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


def pytest_addoption(parser):
    """The two options; they exist where tests/cluster is among the paths that pytest was given."""
    parser.addoption("--kubeconfig", default=None, help="of a real cluster; without it, the sandbox")
    parser.addoption("--namespace", default="data-platform", help="where MLflow is")


@pytest.fixture(scope="session")
def worker_environment(request, tmp_path_factory):
    """The environment of a worker: the caller's own, or the sandbox's."""
    kubeconfig = request.config.getoption("--kubeconfig", default=None)
    if kubeconfig is None:
        return {**os.environ, **request.getfixturevalue("sandbox").env}
    given = os.environ.get("MLFLOW_OPS_CONFIG")
    ops = {}
    if given:
        ops = yaml.safe_load(Path(given).read_text(encoding="utf-8")) or {}
    ops.setdefault("kubernetes", {})["namespace"] = request.config.getoption("--namespace")
    path = tmp_path_factory.mktemp("cluster") / "ops.yaml"
    path.write_text(yaml.safe_dump(ops), encoding="utf-8")
    return {**os.environ, "KUBECONFIG": kubeconfig, "MLFLOW_OPS_CONFIG": str(path)}


@pytest.fixture
def typed(worker_environment):
    """Types a command in a terminal; its report as data, once it ended as it should."""

    def typed(words, *, change=False, fails=False):
        arguments = [*(["--yes-by", "tests/cluster"] if change else []), "--json", words]
        done = subprocess.run(
            [sys.executable, "-m", "bot", "run", *arguments],
            env=worker_environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode in ({1} if fails else {0, 3}), f"{words}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return json.loads(done.stdout) if done.stdout else {"said": done.stderr}

    return typed
