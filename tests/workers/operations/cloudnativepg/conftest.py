"""A server that archives its WAL, the stand-in for CloudNativePG beside it, and a worker's systems."""

import tempfile
from pathlib import Path

import pytest

from tests.workers.operations.backup.wal.conftest import (  # noqa: F401 - fixtures
    REPLICATOR,
    bucket,
    client,
    live,
    progress,
    s3,
    systems,
)
from tests.workers.operations.cloudnativepg import cnpg_api
from tests.workers.operations.cloudnativepg.cnpg_operator import LIVE, Operator
from tests.world.conftest import FOLDERS, OURS, OWNER, serving

MAJOR = 16


@pytest.fixture(scope="module")
def folder():
    """Where PostgreSQL's account may go."""
    with tempfile.TemporaryDirectory(prefix="mlflow-ops-cnpg-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def server(folder):
    """One that archives what is whole."""
    if MAJOR not in FOLDERS:
        pytest.skip(f"no server of PostgreSQL {MAJOR} on this machine")
    archive = folder / "archive"
    archive.mkdir()
    archive.chmod(0o777)
    command = f"test ! -f {archive}/%f && cp %p {archive}/.%f && mv {archive}/.%f {archive}/%f"
    with serving(MAJOR, folder, archive_mode="on", archive_command=command) as started:
        started.do(
            f"CREATE ROLE {OWNER} LOGIN",
            f"CREATE ROLE {OURS} LOGIN CREATEDB CREATEROLE",
            f"CREATE ROLE {REPLICATOR} LOGIN REPLICATION",
            f"GRANT {OWNER} TO {OURS}",
            f"GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {OURS}",
        )
        yield started


@pytest.fixture
def api():
    """The API server's content."""
    return cnpg_api.Api()


@pytest.fixture
def operator(api, server, folder):
    """The operator, with the live Cluster; no backup yet."""
    with tempfile.TemporaryDirectory(prefix="recovered-", dir=folder) as name:
        Path(name).chmod(0o711)
        made = Operator(api, server, Path(name))
        made.archive = folder / "archive"
        made.live()
        yield made
        for each in list(made.running):
            made._remove(each)


@pytest.fixture
def cnpg(systems, api, operator, tmp_path):  # noqa: F811
    """A worker's systems, with CloudNativePG as the source."""
    with cnpg_api.serving(api, tmp_path) as kubeconfig:
        yield systems({"source": "cnpg", "cluster": LIVE}, KUBECONFIG=str(kubeconfig))
