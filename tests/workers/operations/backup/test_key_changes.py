"""Sets before, while and after a key changes: what is copied again, what stays readable, and what says so."""

import boto3
import pytest
import yaml

from tests.workers.operations.backup import forging
from tests.workers.operations.backup.artifacts.conftest import store  # noqa: F401 - a fixture
from tests.workers.operations.backup.test_forged import place  # noqa: F401 - a fixture
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.backup import sets
from workers.operations.backup.artifacts import references
from workers.operations.backup.backup import Backup
from workers.operations.backup.show import BackupShow
from workers.operations.backup.verify import BackupVerifyDeep
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.report import Status
from workers.systems import kms

pytestmark = pytest.mark.slow

BOTH = {"MLFLOW_OPS_BACKUP_KEY": forging.OTHER_KEY, "MLFLOW_OPS_BACKUP_KEYS_OLD": forging.KEY}


def back_up(systems):
    Backup(parts=("artifacts",)).run(systems, Unwatched())
    return sets.good(systems, "latest")


def whole(systems, which="latest"):
    report = BackupVerifyDeep(id=which).run(systems, Unwatched())
    return report.status is Status.OK


def test_with_a_new_key_only_what_is_new_is_copied_and_both_sets_are_read(place):  # noqa: F811 - the fixture
    first = back_up(place.systems)
    place.s3.put_object(Bucket=place.artifacts, Key="2/new", Body=b"new")
    rotated = place.load(**BOTH)
    second = back_up(rotated)
    assert second.artifacts.copied_objects == 1
    assert second.signature.key_id == second.artifacts.key_id != first.artifacts.key_id
    assert whole(rotated, first.id)
    assert whole(rotated, second.id)


def test_once_the_old_key_is_gone_the_next_backup_needs_it_no_more(place):  # noqa: F811 - the fixture
    back_up(place.systems)
    between = back_up(place.load(**BOTH))
    assert between.artifacts.copied_objects == 0
    alone = place.load(MLFLOW_OPS_BACKUP_KEY=forging.OTHER_KEY)
    assert not whole(alone, between.id)
    last = back_up(alone)
    assert last.artifacts.copied_objects == 3
    assert whole(alone, last.id)


def test_sets_from_before_there_was_a_key_stay_readable_and_say_what_they_are(place):  # noqa: F811 - the fixture
    plain = place.load(MLFLOW_OPS_BACKUP_KEY="")
    first = back_up(plain)
    assert "nothing: all of it is as it is" in BackupShow(id=first.id).run(plain, Unwatched()).model_dump_json()
    assert back_up(plain).artifacts.copied_objects == 0
    second = back_up(place.systems)
    assert second.artifacts.copied_objects == 3
    assert "artifacts, with key" in BackupShow(id=second.id).run(place.systems, Unwatched()).model_dump_json()
    kept = list(references(place.systems.backups, place.backups, second.name, place.keys))
    for key in kept:
        body = place.s3.get_object(Bucket=place.backups, Key=key)["Body"].read()
        assert body.startswith(b"mlflow-ops-encrypted")
    place.s3.delete_object(Bucket=place.artifacts, Key="1/run0/artifacts/model.pkl")
    restore = RestoreArtifacts(set=first.id, unsigned=True)
    assert restore.run(place.systems, Unwatched()).status is Status.OK


@pytest.fixture
def encrypting(place, tmp_path):  # noqa: F811 - the fixture
    """Makes the gateways with another backup.encrypt, or a key of KMS."""

    def make(**backup):
        path = tmp_path / "ops.yaml"
        ops = yaml.safe_load(path.read_text()) | {"backup": backup}
        path.write_text(yaml.safe_dump(ops), encoding="utf-8")
        return place.load()

    return make


def test_only_the_configuration_encrypted_means_artifacts_as_they_are_and_signed(encrypting, place):  # noqa: F811
    encrypted = back_up(place.systems)
    systems = encrypting(encrypt="config")
    made = back_up(systems)
    assert made.artifacts.key_id == ""
    assert made.signature
    # What is kept encrypted already stays so.
    assert made.artifacts.copied_objects == 0
    place.s3.put_object(Bucket=place.artifacts, Key="2/new", Body=b"in the clear")
    made = back_up(systems)
    bodies = [
        place.s3.get_object(Bucket=place.backups, Key=key)["Body"].read()
        for key in references(systems.backups, place.backups, made.name, place.keys)
    ]
    assert [body for body in bodies if not body.startswith(b"mlflow-ops-encrypted")] == [b"in the clear"]
    assert whole(systems, encrypted.id)
    assert whole(systems, made.id)
    assert "as it is" in " ".join(Backup().plan(systems).steps)


def test_data_keys_of_kms_encrypt_sign_and_are_asked_for_once(encrypting, place, store, monkeypatch):  # noqa: F811
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", store)
    ours, theirs = (boto3.client("kms", region_name="us-east-1").create_key()["KeyMetadata"]["Arn"] for _ in "ab")
    before = back_up(place.systems)
    kms._connected.cache_clear()
    systems = encrypting(kms_key_id=ours)
    made = back_up(systems)
    assert made.signature.key_id == made.artifacts.key_id == f"kms:{ours}"
    assert made.artifacts.copied_objects == 0, "what the backup key has encrypted is still readable"
    place.s3.put_object(Bucket=place.artifacts, Key="2/new", Body=b"new")
    assert back_up(systems).artifacts.copied_objects == 1
    # Another process, which has to ask KMS to read.
    kms._connected.cache_clear()
    systems = encrypting(kms_key_id=ours)
    assert whole(systems)
    assert whole(systems, before.id)
    kms._connected.cache_clear()
    with pytest.raises(OperatorError, match="is signed with the key"):
        sets.good(encrypting(kms_key_id=theirs), made.id)
    kms._connected.cache_clear()
    assert sets.good(encrypting(kms_key_id=theirs, kms_keys_old=[ours]), made.id).id == made.id
    kms._connected.cache_clear()
