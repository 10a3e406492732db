"""The object store's gateway against moto's S3 server, and what it says when there is none."""

import time
import urllib.request

import pytest
from moto.server import ThreadedMotoServer

from workers.settings import SettingsError
from workers.systems.errors import (
    AccessDenied,
    BucketMissing,
    Nonsense,
    ObjectMissing,
    ObjectsError,
    ObjectsUnreachable,
)
from workers.systems.s3.objects import Objects


@pytest.fixture(scope="module")
def store():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    # Its first answer, for which it reads all of its S3, takes longer than these tests wait.
    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).close()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def connect(configured, monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSANDBOX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    ops = tmp_path / "ops.yaml"
    ops.write_text("health: {deadline_seconds: 1}\n")
    return lambda url: Objects.connect(configured(AWS_ENDPOINT_URL_S3=url, MLFLOW_OPS_CONFIG=str(ops)))


@pytest.fixture
def objects(connect, store):
    found = connect(store)
    found.client.create_bucket(Bucket="mlflow-artifacts")
    yield found
    for item in found.client.list_objects_v2(Bucket="mlflow-artifacts").get("Contents", ()):
        found.client.delete_object(Bucket="mlflow-artifacts", Key=item["Key"])
    found.client.delete_bucket(Bucket="mlflow-artifacts")


def test_versioning_is_off_until_it_is_switched_on(objects):
    objects.head_bucket("mlflow-artifacts")
    assert objects.versioning("mlflow-artifacts") == "Off"
    for state in ("Enabled", "Suspended"):
        objects.client.put_bucket_versioning(Bucket="mlflow-artifacts", VersioningConfiguration={"Status": state})
        assert objects.versioning("mlflow-artifacts") == state


def test_an_object_lock_is_told_with_its_time(objects):
    assert objects.object_lock("mlflow-artifacts") == "Off"
    objects.client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    try:
        assert objects.object_lock("locked") == "Off"
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}
        lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        objects.client.put_object_lock_configuration(Bucket="locked", ObjectLockConfiguration=lock)
        assert objects.object_lock("locked") == "GOVERNANCE 30 days"
    finally:
        objects.client.delete_bucket(Bucket="locked")


def test_folders_come_in_order_and_from_where_one_likes(objects):
    for name in ("sets/b/one", "sets/a/one", "sets/c/one", "sets/c/two", "other/d/one"):
        objects.client.put_object(Bucket="mlflow-artifacts", Key=name, Body=b"x")
    assert list(objects.folders("mlflow-artifacts", "sets/")) == ["sets/a/", "sets/b/", "sets/c/"]
    assert list(objects.folders("mlflow-artifacts", "sets/", after="sets/b")) == ["sets/b/", "sets/c/"]


def test_an_object_is_read_up_to_a_limit(objects):
    objects.client.put_object(Bucket="mlflow-artifacts", Key="a", Body=b"0123456789")
    assert objects.read("mlflow-artifacts", "a", at_most=4) == b"0123"
    with pytest.raises(ObjectMissing):
        objects.read("mlflow-artifacts", "b", at_most=4)


def test_a_missing_bucket_is_named_by_every_call(objects):
    for call in (objects.head_bucket, objects.versioning, lambda name: list(objects.folders(name, ""))):
        with pytest.raises(BucketMissing, match="has no bucket nowhere"):
            call("nowhere")


@pytest.mark.parametrize("body", [b"", b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"])
def test_denied_access_is_told_without_keys(connect, http, body):
    http.default = (403, body)
    objects = connect(http.url)
    with pytest.raises(AccessDenied) as caught:
        objects.versioning("mlflow-artifacts")
    assert "denies us access to mlflow-artifacts" in caught.value.message
    assert "hunter2" not in str(caught.value)


def test_a_refused_connection_is_told_at_once(connect, closed):
    began = time.monotonic()
    with pytest.raises(ObjectsUnreachable, match=rf"127\.0\.0\.1:{closed} refuses connections"):
        connect(f"http://127.0.0.1:{closed}").head_bucket("mlflow-artifacts")
    assert time.monotonic() - began < 5


def test_silence_is_given_up_in_time_and_not_tried_again(connect, silent):
    objects = connect(f"http://127.0.0.1:{silent}")
    began = time.monotonic()
    with pytest.raises(ObjectsUnreachable, match=r"does not answer within 0\.8 s"):
        objects.head_bucket("mlflow-artifacts")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("body", [b"<html><p>Welcome to nginx", b"{}", b"\xff\xfe\x00"])
def test_garbage_is_told_and_names_the_store(connect, http, body):
    http.default = (200, body)
    with pytest.raises((Nonsense, ObjectsError), match=rf"127\.0\.0\.1:{http.port}"):
        list(connect(http.url).folders("mlflow-artifacts", "sets/"))


def test_an_answer_that_breaks_off_is_told(connect, saying):
    port = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n<List")
    with pytest.raises((ObjectsError, Nonsense), match=f":{port}"):
        connect(f"http://127.0.0.1:{port}").versioning("mlflow-artifacts")


def test_without_credentials_the_variables_are_named(connect, store, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SettingsError, match="AWS_ACCESS_KEY_ID"):
        connect(store).head_bucket("mlflow-artifacts")
