"""The sandbox on another version of PostgreSQL: its data says which one it is from then on."""

import subprocess
import sys

import psycopg
import pytest

from mlflow_ops_sandbox import testing
from tests.world.conftest import FOLDERS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
LEFT_OUT = ("redis", "kubernetes", "mlflow", "slack", "bot", "scheduler", "worker-quick", "worker-ops", "objects")
WITHOUT = tuple(word for part in LEFT_OUT for word in ("--without", part))


def version_of(sandbox):
    """The server's major version, as it says itself."""
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_ADMIN_URL"]) as connection:
        return connection.info.server_version // 10_000


@pytest.mark.parametrize("major", [15, 16])
def test_another_version_is_started_and_remembered(major, tmp_path):
    if major not in FOLDERS:
        pytest.skip(f"no server of PostgreSQL {major} on this machine")
    path = tmp_path / "data"
    sandbox = testing.start(path, "--postgres", str(major), *WITHOUT)
    try:
        assert version_of(sandbox) == major
        sandbox.stop()
        sandbox = testing.start(path, *WITHOUT)
        assert version_of(sandbox) == major
        sandbox.stop()
        other = [sys.executable, "-m", "mlflow_ops_sandbox", "--data", str(path), "--postgres", "18", *WITHOUT]
        refused = subprocess.run(other, capture_output=True, text=True, check=False, env=sandbox.process_env)
        assert refused.returncode == 1
        assert f"The data here is PostgreSQL {major}'s, not 18's" in refused.stderr
    finally:
        testing.remove(sandbox)


def test_a_version_that_is_not_here_is_refused_with_what_to_do(tmp_path):
    missing = next((each for each in range(13, 19) if each not in FOLDERS), None)
    if missing is None:
        pytest.skip("every version is on this machine")
    asked = [sys.executable, "-m", "mlflow_ops_sandbox", "--data", str(tmp_path), "--postgres", str(missing)]
    refused = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert f"apt install postgresql-{missing}" in refused.stderr
