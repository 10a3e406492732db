"""The audit record's key where only AWS KMS has keys: one for all workers, which nobody else can put in."""

import json
import threading
import time

import boto3
import pytest

from workers import settings
from workers.engine import sealing
from workers.operation import Unwatched
from workers.operations.audit.trail import Audit
from workers.records import audit_key, audit_seals
from workers.report import Status
from workers.systems import Systems, kms
from workers.systems.errors import KeyDenied, KeyServiceError, KeyServiceUnreachable

KEY = "audit/mlflow/key.json"


@pytest.fixture
def with_kms(made, store, monkeypatch):
    """Makes a record whose only key is in KMS. aws: of KMS, to make keys."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", store)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def make(*, lock=None):
        ours = new_key()
        backup = {"kms_key_id": ours, **({"lock": lock} if lock else {})}
        kept = made(lock=bool(lock), ops={"backup": backup}, MLFLOW_OPS_AUDIT_KEY="")
        forget()
        return kept

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "moto")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "moto-secret")
    yield make
    forget()


def new_key():
    return boto3.client("kms", region_name="us-east-1").create_key()["KeyMetadata"]["Arn"]


def forget():
    """From here on it is another process, which must ask KMS."""
    kms._connected.cache_clear()


def stored(kept):
    return kept.s3.get_object(Bucket=kept.bucket, Key=KEY)["Body"].read()


def sealed(kept):
    kept.run()
    kept.keys = audit_key.keys(kept.systems, make=True)
    return kept.seal()


def all_sealed(kept):
    """Wait until what `kept.run` wrote is sealed."""
    until = time.monotonic() + 10
    while len(kept.seals()) < 15:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert len(kept.seals()) == 15


def test_every_worker_finds_the_key_that_the_first_one_made(with_kms):
    kept = with_kms()
    assert not audit_key.keys(kept.systems).given, "who only reads makes none"
    assert len(sealed(kept)) == 15
    first = stored(kept)
    forget()
    kept.run(1)
    assert kept.export().status is Status.OK
    assert stored(kept) == first
    forget()
    report = kept.verify()
    assert (report.status, "seals verified" in report.summary) == (Status.OK, True), report.summary
    plain, _ = kms.Kms.connect(kept.systems.settings).data_key()
    assert plain not in first


def test_a_key_of_the_environment_goes_first(with_kms, made):
    kept = with_kms()
    sealed(kept)
    own = made(ops={"backup": {"kms_key_id": kept.systems.settings.ops.backup.kms_key_id}})
    assert audit_key.keys(own.systems, make=True).ids == audit_seals.SealKeys.of(own.systems.settings).ids
    assert own.files() == []


def test_a_key_that_is_not_there_any_more_is_missed_by_name(with_kms):
    kept = with_kms()
    sealed(kept)
    kept.s3.delete_object(Bucket=kept.bucket, Key=KEY)
    forget()
    report = kept.verify()
    assert report.status is Status.WARN
    assert (
        f"15 seals can't be verified: the key that KMS has wrapped is not there any more (s3://{kept.bucket}/{KEY})"
        in (report.summary)
    )
    assert "MLFLOW_OPS_AUDIT_KEY" not in report.summary


@pytest.mark.parametrize("taken_away", [True, False], ids=["taken away", "another wrapped one in its place"])
def test_a_key_that_was_exchanged_shows_in_every_seal(with_kms, taken_away):
    kept = with_kms()
    sealed(kept)
    assert kept.verify().status is not Status.FAIL
    forget()
    named = kept.systems.settings.ops.backup.kms_key_id
    _, other = kms.Kms.connect(kept.systems.settings).data_key()
    body = json.dumps({"kms_key": named, "wrapped": other}).encode()
    kept.s3.delete_object(Bucket=kept.bucket, Key=KEY)
    if not taken_away:
        kept.s3.put_object(Bucket=kept.bucket, Key=KEY, Body=body)
    forget()
    kept.run(1)
    kept.keys = audit_key.keys(kept.systems, make=True)
    kept.seal()
    report = kept.verify()
    assert report.status is Status.FAIL
    assert "The record was tampered with" in report.summary


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b"[" * 10_000,
        b'{"kms_key": "x", "wrapped": 3}',
        b"\xff\xfe",
        b'{"kms_key": "x", "wrapped": "?"}',
        b" " * 40_000,
    ],
    ids=["nothing", "empty", "a list", "deep", "a number", "no text", "no base64", "long"],
)
def test_what_is_no_key_of_ours_is_refused_and_nothing_is_sealed_with_it(with_kms, body):
    kept = with_kms()
    sealed(kept)
    kept.s3.put_object(Bucket=kept.bucket, Key=KEY, Body=body)
    with pytest.raises(KeyDenied) as refused:
        audit_key.keys(kept.systems, make=True)
    assert KEY in refused.value.message or "is not ours" in refused.value.message
    assert "can't be verified here" in Audit().run(kept.systems, Unwatched()).summary


def test_a_key_wrapped_by_somebody_elses_is_refused(with_kms):
    kept = with_kms()
    sealed(kept)
    theirs = new_key()
    answer = boto3.client("kms", region_name="us-east-1").generate_data_key(KeyId=theirs, KeySpec="AES_256")
    body = json.loads(stored(kept)) | {"kms_key": theirs}
    kept.s3.put_object(Bucket=kept.bucket, Key=KEY, Body=json.dumps(body).encode())
    with pytest.raises(KeyDenied, match="which is not ours"):
        audit_key.keys(kept.systems)
    assert answer["Plaintext"]


def test_of_two_workers_at_once_one_makes_it(with_kms):
    kept = with_kms()
    found, lost = [], []

    def worker():
        try:
            found.append(audit_key.keys(Systems(kept.systems.settings), make=True).ids)
        except KeyServiceError:
            lost.append(1)

    threads = [threading.Thread(target=worker) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) + len(lost) == 6
    assert set(found) == {audit_key.keys(kept.systems).ids}


def test_without_kms_nothing_is_sealed_until_it_answers(with_kms, monkeypatch):
    kept = with_kms()
    kept.run()
    said, real = threading.Event(), kms.Kms.data_key

    def away(self):
        said.set()
        raise KeyServiceUnreachable("KMS does not answer.")

    monkeypatch.setattr(kms.Kms, "data_key", away)
    monkeypatch.setattr(sealing, "KEY_SECONDS", 0.05)
    stop = sealing.begin(kept.systems.settings)
    try:
        assert said.wait(10)
        assert kept.seals() == []
        monkeypatch.setattr(kms.Kms, "data_key", real)
        all_sealed(kept)
    finally:
        stop.set()
    assert kept.verify().status is not Status.FAIL


def test_a_bucket_that_cannot_be_reached_or_is_not_configured_does_not_end_the_sealing(with_kms, monkeypatch):
    kept = with_kms()
    kept.run()
    monkeypatch.setattr(sealing, "KEY_SECONDS", 0.05)
    told, real = [], audit_key.keys

    def broken(systems, *, make):
        told.append(1)
        if len(told) == 1:
            raise settings.SettingsError("There is no store.")
        return real(systems, make=make)

    monkeypatch.setattr(audit_key, "keys", broken)
    stop = sealing.begin(kept.systems.settings)
    try:
        all_sealed(kept)
    finally:
        stop.set()


def test_it_is_locked_as_the_export_is(with_kms):
    kept = with_kms(lock={"mode": "governance", "days": 3})
    sealed(kept)
    found = kept.s3.head_object(Bucket=kept.bucket, Key=KEY)
    assert found["ObjectLockMode"] == "GOVERNANCE"
    kept.export()
    assert (
        kept.s3.head_object(Bucket=kept.bucket, Key=KEY)["ObjectLockRetainUntilDate"]
        >= (found["ObjectLockRetainUntilDate"])
    )


def test_without_any_key_the_settings_have_none(made):
    bare = made(MLFLOW_OPS_AUDIT_KEY="")
    assert not audit_key.given(bare.systems.settings)
    assert not audit_key.keys(bare.systems, make=True).given
    assert settings.load({"MLFLOW_OPS_AUDIT_KEY": "", "REDIS_URL": "redis://x"}).environment.audit_key is None
