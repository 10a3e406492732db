"""Data keys of KMS, against moto's."""

import base64

import boto3
import pytest
from moto.server import ThreadedMotoServer

from workers import settings
from workers.systems import kms
from workers.systems.errors import KeyDenied, KeyServiceError, Unreachable
from workers.systems.kms import Kms


@pytest.fixture(scope="module")
def address():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def aws(address, monkeypatch):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDSANDBOX",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_KMS": address,
    }.items():
        monkeypatch.setenv(name, value)
    kms._connected.cache_clear()
    yield boto3.client("kms")
    kms._connected.cache_clear()


@pytest.fixture
def connect(tmp_path):
    def make(key, *old):
        path = tmp_path / "ops.yaml"
        path.write_text(f"backup: {{kms_key_id: '{key}', kms_keys_old: {list(old)}}}", encoding="utf-8")
        kms._connected.cache_clear()
        return Kms.connect(settings.load({"MLFLOW_OPS_CONFIG": str(path)}))

    return make


@pytest.fixture
def key(aws):
    return aws.create_key()["KeyMetadata"]["Arn"]


def test_without_a_key_in_ops_yaml_there_is_none():
    assert Kms.connect(settings.load({})) is None


def test_a_data_key_opens_in_another_process_and_is_asked_for_once(connect, key):
    ours = connect(key)
    plain, wrapped = ours.data_key()
    assert len(plain) == 32
    assert ours.data_key() == (plain, wrapped)
    assert connect(key).opened(wrapped, key) == plain
    assert plain not in base64.b64decode(wrapped)


def test_a_data_key_of_another_key_is_not_ours(connect, key, aws):
    theirs = aws.create_key()["KeyMetadata"]["Arn"]
    _, wrapped = connect(theirs).data_key()
    with pytest.raises(KeyDenied):
        connect(key).opened(wrapped, key)


@pytest.mark.parametrize("wrapped", ["", "not base64", base64.b64encode(b"x" * 200).decode()])
def test_what_is_no_wrapped_key_is_refused(connect, key, wrapped):
    with pytest.raises(KeyServiceError):
        connect(key).opened(wrapped, key)


def test_a_key_that_is_not_there_is_named(connect, aws):
    with pytest.raises(KeyServiceError, match="alias/nobody"):
        connect("alias/nobody").data_key()


def test_nobody_there_is_said_as_that(connect, aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    monkeypatch.setattr(kms, "ATTEMPTS", 1)
    with pytest.raises(Unreachable, match="refuses connections"):
        connect("alias/any").data_key()


def test_a_data_key_does_not_show_itself(connect, key):
    ours = connect(key)
    plain, wrapped = ours.data_key()
    assert repr(plain)[2:-1] not in repr(ours)
    assert wrapped not in repr(ours)
