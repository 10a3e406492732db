"""The object store alone: a real client over a real socket, and what is still there afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from mlflow_ops_sandbox.parts import composition, credentials, ports, process
from mlflow_ops_sandbox.parts.folder import Folder
from mlflow_ops_sandbox.parts.s3 import objects

LARGE = os.urandom(9 * 1024 * 1024)


class Store:
    """The object store as the supervisor would start it."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.port = ports.choose(["objects"], {}, {})["objects"]
        self.credentials = credentials.load(folder / "secrets.json")
        environ = composition.base_environment(folder)
        self.part = objects.part(folder, port=self.port, credentials=self.credentials, environ=environ)
        self.start()

    def start(self) -> None:
        self.part.prepare()
        self.running = process.start(self.part, self.folder)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(EndpointConnectionError):
                self.client().list_buckets()
                return
            assert self.running.popen.poll() is None, self.folder.log("objects").read_text()
            time.sleep(0.05)
        pytest.fail("the object store did not start")

    def stop(self) -> None:
        process.stop(self.running, self.folder)

    def restart(self) -> None:
        self.stop()
        self.start()

    def client(self, **other: str) -> Any:
        keys = {
            "aws_access_key_id": self.credentials.s3_access_key,
            "aws_secret_access_key": self.credentials.s3_secret_key,
        }
        config = Config(signature_version="s3v4", retries={"max_attempts": 1}, proxies={})
        return boto3.client(
            "s3", endpoint_url=objects.url(self.port), region_name=objects.REGION, config=config, **(keys | other)
        )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = Folder(tmp_path_factory.mktemp("objects") / "data")
    folder.create()
    made = Store(folder)
    yield made
    made.stop()


def body(client: Any, key: str, **other: str) -> bytes:
    return client.get_object(Bucket=objects.BACKUPS, Key=key, **other)["Body"].read()


def test_the_buckets_are_there_and_artifacts_are_versioned(store: Store) -> None:
    client = store.client()
    assert {item["Name"] for item in client.list_buckets()["Buckets"]} == {objects.ARTIFACTS, objects.BACKUPS}
    assert client.get_bucket_versioning(Bucket=objects.ARTIFACTS)["Status"] == "Enabled"
    assert "Status" not in client.get_bucket_versioning(Bucket=objects.BACKUPS)


def test_objects_versions_and_metadata_survive_a_restart(store: Store, tmp_path: Path) -> None:
    client = store.client()
    file = tmp_path / "large"
    file.write_bytes(LARGE)
    client.upload_file(str(file), objects.BACKUPS, "sets/größe 1+1/large")  # several parts
    client.put_object(Bucket=objects.BACKUPS, Key="small", Body=b"small", Metadata={"kind": "test"})
    client.put_object(Bucket=objects.BACKUPS, Key="gone", Body=b"gone")
    client.delete_object(Bucket=objects.BACKUPS, Key="gone")
    old = client.put_object(Bucket=objects.ARTIFACTS, Key="twice", Body=b"old")["VersionId"]
    client.put_object(Bucket=objects.ARTIFACTS, Key="twice", Body=b"new")
    client.delete_object(Bucket=objects.ARTIFACTS, Key="twice")
    before = client.list_objects_v2(Bucket=objects.BACKUPS)["Contents"]

    store.restart()

    client = store.client()
    assert client.list_objects_v2(Bucket=objects.BACKUPS)["Contents"] == before
    assert body(client, "sets/größe 1+1/large") == LARGE
    assert client.head_object(Bucket=objects.BACKUPS, Key="small")["Metadata"] == {"kind": "test"}
    assert client.get_object(Bucket=objects.ARTIFACTS, Key="twice", VersionId=old)["Body"].read() == b"old"
    markers = client.list_object_versions(Bucket=objects.ARTIFACTS, Prefix="twice")["DeleteMarkers"]
    assert [marker["IsLatest"] for marker in markers] == [True]


def test_an_upload_that_was_under_way_can_be_finished_after_a_restart(store: Store) -> None:
    client = store.client()
    name = {"Bucket": objects.BACKUPS, "Key": "in parts"}
    upload = client.create_multipart_upload(**name)["UploadId"]
    tags = [client.upload_part(**name, UploadId=upload, PartNumber=1, Body=LARGE)["ETag"]]
    store.restart()
    client = store.client()
    tags.append(client.upload_part(**name, UploadId=upload, PartNumber=2, Body=b"end")["ETag"])
    listed = {"Parts": [{"ETag": tag, "PartNumber": number} for number, tag in enumerate(tags, 1)]}
    client.complete_multipart_upload(**name, UploadId=upload, MultipartUpload=listed)
    assert body(client, "in parts") == LARGE + b"end"


def test_what_had_settled_survives_being_killed(store: Store) -> None:
    store.client().put_object(Bucket=objects.BACKUPS, Key="settled", Body=b"settled")
    catalogue = store.folder / "objects" / "catalogue.pickle"
    written = catalogue.stat().st_mtime_ns
    end = time.monotonic() + 20
    while catalogue.stat().st_mtime_ns == written and time.monotonic() < end:
        time.sleep(0.05)
    store.running.popen.send_signal(signal.SIGKILL)
    store.restart()
    assert body(store.client(), "settled") == b"settled"


def test_bytes_that_nothing_names_any_more_are_removed(store: Store) -> None:
    client = store.client()
    client.put_object(Bucket=objects.BACKUPS, Key="large", Body=LARGE + b"unique")
    store.restart()
    size = sum(file.stat().st_size for file in (store.folder / "objects" / "bytes").iterdir())
    store.client().delete_object(Bucket=objects.BACKUPS, Key="large")
    store.restart()
    left = sum(file.stat().st_size for file in (store.folder / "objects" / "bytes").iterdir())
    assert size - left == len(LARGE) + len(b"unique")


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"aws_access_key_id": "AKIASOMEBODYELSE0000"}, "InvalidAccessKeyId"),
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
    ],
)
def test_wrong_keys_are_refused(store: Store, other: dict[str, str], code: str) -> None:
    client = store.client(**other)
    for call in (
        client.list_buckets,
        lambda: client.put_object(Bucket=objects.BACKUPS, Key="intruder", Body=b"x" * 100_000),
        lambda: client.list_objects_v2(Bucket=objects.BACKUPS, Prefix="a b/c", Delimiter="/"),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def get(address: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_presigned_address_opens_one_object_for_its_time(store: Store) -> None:
    client = store.client()
    client.put_object(Bucket=objects.BACKUPS, Key="for you", Body=b"x")
    name = {"Bucket": objects.BACKUPS, "Key": "for you"}
    address = client.generate_presigned_url("get_object", Params=name, ExpiresIn=60)
    assert get(address) == 200
    assert get(address.replace("for%20you", "settled")) == 403
    assert get(address.partition("?")[0]) == 403
    assert get(client.generate_presigned_url("get_object", Params=name, ExpiresIn=-10)) == 403


def test_the_server_of_the_store_offers_no_way_around(store: Store) -> None:
    assert get(f"{objects.url(store.port)}/moto-api/") == 200
    assert get(f"{objects.url(store.port)}/moto-api/data.json") == 403
    assert get(f"{objects.url(store.port)}/moto-api/reset") == 403
