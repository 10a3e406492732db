"""A set: what is in it, that it holds, and that a restore from it gives what was there."""

import json
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql

from workers.errors import OperatorError
from workers.operations.backup import configuration, sets
from workers.operations.backup.backup import Backup
from workers.operations.backup.encryption import Keys
from workers.operations.backup.show import BackupList, BackupShow, BackupUsage
from workers.operations.backup.verify import BackupVerify, BackupVerifyDeep
from workers.report import Status


@pytest.fixture
def made(systems, progress, buckets):
    """A whole set, and its manifest."""
    ready = systems()
    report = Backup().run(ready, progress)
    return report, sets.good(ready, "latest")


def test_a_set_holds_all_three_parts_and_its_manifest_was_written_last(made, s3, buckets, keys_in, progress):
    report, manifest = made
    assert report.status is Status.OK, report
    assert manifest.parts == ("database", "artifacts", "config")
    held = {key.removeprefix(manifest.name) for key in keys_in(buckets[1], manifest.name)}
    parts = {"database.dump.enc", "database.catalog.jsonl.enc", "artifacts.jsonl.zst.enc", "config.yaml.enc"}
    assert held == {*parts, "manifest.json"}
    written = {each: s3.head_object(Bucket=buckets[1], Key=manifest.name + each)["LastModified"] for each in held}
    assert max(written.values()) == written["manifest.json"]
    order = [step.split(":")[0].split(" ")[0] for step in progress.steps]
    assert order == [
        *("Looking", "Database", "Artifacts", "Artifacts", "Artifacts"),
        *("Configuration", "Database", "Configuration", "Writing"),
    ]  # fmt: skip


def test_the_manifest_says_what_a_restore_will_be_compared_with(made):
    database = made[1].database
    assert database.rows == {"alembic_version": 1, "experiments": 20, "runs": 500, "metrics": 30000}
    assert database.alembic_revision == "dc11669786a5"
    assert database.server_version.split(".")[0] == database.pg_dump_version.split(".")[0] == "18"
    assert database.entries > 8
    assert made[1].artifacts.objects == made[1].artifacts.copied_objects == 10


def test_restored_into_an_empty_database_it_gives_the_same_bytes(
    made, systems, s3, buckets, parts, database_url, tmp_path
):
    dump, stored = tmp_path / "database.dump", made[1].database.dump
    body = s3.get_object(Bucket=buckets[1], Key=stored.key)["Body"].read()
    dump.write_bytes(Keys.of(systems().settings).decrypted(body, stored.key))
    admin = parts.env["MLFLOW_OPS_DATABASE_ADMIN_URL"]
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE DATABASE restored OWNER mlflow")
    target = database_url.rpartition("/")[0] + "/restored"
    program = Path(parts.env["MLFLOW_OPS_POSTGRES_BIN"]) / "pg_restore"
    subprocess.run([program, "--exit-on-error", f"--dbname={target}", dump], check=True)
    assert checksums(target) == checksums(database_url)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE restored WITH (FORCE)")


def checksums(url):
    query = "SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {} t"
    with psycopg.connect(url) as connection:
        return {
            table: connection.execute(sql.SQL(query).format(sql.Identifier(table))).fetchone()
            for table in ("alembic_version", "experiments", "runs", "metrics")
        }


def test_a_second_set_copies_no_artifact_twice(made, systems, progress, buckets, keys_in, s3):
    before = keys_in(buckets[1], "objects/")
    s3.put_object(Bucket=buckets[0], Key="2/new.txt", Body=b"new")
    ready = systems()
    Backup().run(ready, progress)
    second = sets.good(ready, "latest")
    assert second.name > made[1].name
    assert (second.artifacts.objects, second.artifacts.copied_objects) == (11, 1)
    assert len(keys_in(buckets[1], "objects/")) == len(before) + 1


def test_list_show_and_usage_tell_of_it(made, systems, progress):
    ready = systems()
    listed = BackupList().run(ready, progress)
    assert made[1].id in listed.summary
    assert listed.sections[0].rows[0][0] == made[1].id
    for wanted in ("latest", made[1].id, made[1].name, made[1].name.strip("/")):
        shown = BackupShow(id=wanted).run(ready, progress)
        assert made[1].name in shown.summary
    text = shown.model_dump_json()
    for part in ("dc11669786a5", "30,000", "PostgreSQL 18", "secret/mlflow-backend-secret"):
        assert part in text
    assert "objects of" in BackupUsage().run(ready, progress).summary
    with pytest.raises(OperatorError, match="no backup abcdef"):
        BackupShow(id="abcdef").run(ready, progress)


@pytest.mark.parametrize("kind", [BackupVerify, BackupVerifyDeep])
def test_a_good_set_verifies(made, systems, progress, kind):
    report = kind().run(systems(), progress)
    assert report.status is Status.OK, report
    assert "10 artifacts" in report.summary


def flip(s3, bucket, key):
    body = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    body[len(body) // 2] ^= 1
    s3.put_object(Bucket=bucket, Key=key, Body=bytes(body))


@pytest.mark.parametrize(
    "part", ["database.dump.enc", "database.catalog.jsonl.enc", "artifacts.jsonl.zst.enc", "config.yaml.enc"]
)
def test_a_flipped_bit_in_a_stored_part_is_found_and_the_part_is_named(made, systems, progress, s3, buckets, part):
    flip(s3, buckets[1], made[1].name + part)
    report = BackupVerify().run(systems(), progress)
    assert report.status is Status.FAIL
    assert f"{made[1].name}{part} is damaged" in report.summary


def test_a_flipped_bit_in_an_artifact_is_found_by_reading_and_a_missing_one_by_looking(
    made, systems, progress, s3, buckets, keys_in
):
    kept = keys_in(buckets[1], "objects/")
    flip(s3, buckets[1], kept[3])
    assert BackupVerify().run(systems(), progress).status is Status.OK
    deep = BackupVerifyDeep().run(systems(), progress)
    assert deep.status is Status.FAIL
    assert "run3" in deep.summary
    s3.delete_object(Bucket=buckets[1], Key=kept[5])
    report = BackupVerify().run(systems(), progress)
    assert report.status is Status.FAIL
    assert "run5" in report.summary


@pytest.mark.slow
def test_bytes_that_were_lost_are_copied_anew_by_the_next_backup(made, systems, progress, s3, buckets, keys_in):
    s3.delete_object(Bucket=buckets[1], Key=keys_in(buckets[1], "objects/")[5])
    report = Backup().run(systems(), progress)
    assert report.status is Status.WARN
    assert "1 object that earlier sets rely on had been lost" in report.model_dump_json()
    assert BackupVerifyDeep().run(systems(), progress).status is Status.OK


@pytest.mark.slow
def test_bytes_that_a_deep_check_found_bad_are_copied_again_and_the_old_set_is_good_too(
    made, systems, progress, s3, buckets, keys_in
):
    flip(s3, buckets[1], keys_in(buckets[1], "objects/")[2])
    assert BackupVerifyDeep().run(systems(), progress).status is Status.FAIL
    report = Backup(parts=("artifacts",)).run(systems(), progress)
    assert "had been lost or damaged" in report.model_dump_json()
    for wanted in (made[1].id, "latest"):
        assert BackupVerifyDeep(id=wanted).run(systems(), progress).status is Status.OK
    assert Backup(parts=("artifacts",)).run(systems(), progress).status is Status.OK


@pytest.mark.slow
def test_basic_auths_own_database_is_dumped_beside_it(systems, progress, database_url, buckets):
    ready = systems(MLFLOW_OPS_AUTH_DATABASE_URL=database_url)
    Backup(parts=("database",)).run(ready, progress)
    made = sets.good(ready, "latest")
    assert made.auth_database.rows == made.database.rows
    assert made.auth_database.dump.key == f"{made.name}auth-database.dump.enc"
    assert BackupVerify().run(ready, progress).status is Status.OK


@pytest.mark.slow
def test_a_part_alone_is_a_set_of_that_part_and_is_not_the_last_good_backup(systems, progress, buckets):
    from datetime import UTC, datetime

    from workers.operations.backup.signing import Trust
    from workers.operations.health import backup as health

    ready = systems()
    Backup(parts=("config",)).run(ready, progress)
    assert sets.good(ready, "latest").parts == ("config",)
    found = health.newest(ready.objects, buckets[1], datetime.now(UTC), Trust.of(ready.settings))
    assert found.name is None
    assert "has no database and no artifacts" in found.passed_over[0]


@pytest.mark.slow
def test_the_configuration_applies_to_an_empty_namespace(made, systems, parts, s3, buckets, tmp_path):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    ready = systems()
    document = s3.get_object(Bucket=buckets[1], Key=made[1].configuration.document.key)["Body"].read()
    text = Keys.of(ready.settings).decrypted(document, made[1].configuration.document.key)
    kubectl = ["kubectl", "--kubeconfig", parts.env["KUBECONFIG"]]
    subprocess.run([*kubectl, "create", "namespace", "elsewhere"], check=True)
    applied = subprocess.run(
        [*kubectl, "apply", "-n", "elsewhere", "-f", "-"], input=text, capture_output=True, check=False
    )
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.decode().count(" created") == len(made[1].configuration.objects)


def test_the_configuration_holds_nothing_of_this_cluster(made, systems, s3, buckets):
    document = s3.get_object(Bucket=buckets[1], Key=made[1].configuration.document.key)["Body"].read()
    text = Keys.of(systems().settings).decrypted(document, made[1].configuration.document.key).decode()
    names = {f"{each['kind']}/{each['metadata']['name']}" for each in yaml.safe_load_all(text)}
    assert {"Deployment/mlflow", "Service/mlflow", "ConfigMap/mlflow-config", "Secret/mlflow-backend-secret"} <= names
    assert {"Secret/mlflow-tls", "Ingress/mlflow-ingress", "PodDisruptionBudget/mlflow"} <= names
    for word in ("resourceVersion", "uid:", "managedFields", "creationTimestamp", "status:", "clusterIP", "generation"):
        assert word not in text, word


def test_no_secret_is_in_the_bucket_unencrypted(made, s3, buckets, keys_in, parts):
    secrets = {
        value
        for name, value in parts.env.items()
        if name in {"AWS_SECRET_ACCESS_KEY", "MLFLOW_OPS_BACKUP_KEY", "MLFLOW_OPS_DATABASE_URL"}
    }
    secrets |= {psycopg.conninfo.conninfo_to_dict(parts.env["MLFLOW_OPS_DATABASE_URL"])["password"]}
    for key in keys_in(buckets[1], made[1].name):
        body = s3.get_object(Bucket=buckets[1], Key=key)["Body"].read()
        for secret in secrets:
            assert secret.encode() not in body, key


@pytest.mark.slow
def test_without_a_key_it_says_so_loudly_and_holds_no_secret(systems, progress, s3, buckets):
    ready = systems(MLFLOW_OPS_BACKUP_KEY=None)
    report = Backup(parts=("config",)).run(ready, progress)
    assert report.status is Status.WARN
    assert "WITHOUT SECRETS" in report.summary
    manifest = sets.good(ready, "latest")
    assert manifest.configuration.document.key.endswith("/config.yaml")
    text = s3.get_object(Bucket=buckets[1], Key=manifest.configuration.document.key)["Body"].read().decode()
    assert "kind: Secret" not in text
    assert "kind: Deployment" in text
    assert any("Secret mlflow-backend-secret is left out" in each for each in manifest.configuration.left_out)
    assert json.dumps(manifest.model_dump(mode="json")).count("WITHOUT SECRETS") == 1


def test_a_plan_is_the_same_while_nothing_changes_and_shows_no_secret(systems):
    ready = systems()
    first, second = Backup().plan(ready), Backup().plan(ready)
    assert first.digest == second.digest
    assert "pg_dump 18" in " ".join(first.steps)


EXTRAS = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: mlflow, namespace: data-platform}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: mlflow}
  minReplicas: 2
  maxReplicas: 4
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: mlflow-gc, namespace: data-platform}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: gc, image: "ghcr.io/mlflow/mlflow:v3.17.2", command: [mlflow, gc]}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: somebody-elses, namespace: data-platform}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: it, image: "it:1"}]
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_what_belongs_to_mlflow_is_exported_by_the_workers_own_account(systems, parts):
    kubectl = ["kubectl", "--kubeconfig", parts.env["KUBECONFIG"]]
    subprocess.run([*kubectl, "apply", "-f", "-"], input=EXTRAS.encode(), check=True, stdout=subprocess.DEVNULL)
    ready = systems(KUBECONFIG=str(parts.path / "kubernetes" / "kubeconfig-worker"))
    found = configuration.export(ready.cluster, ready.settings.ops.kubernetes)
    assert {"horizontalpodautoscaler/mlflow", "cronjob/mlflow-gc"} <= set(found.names)
    assert "cronjob/somebody-elses" not in found.names
    assert found.left_out == []
    subprocess.run([*kubectl, "create", "namespace", "another"], check=True, stdout=subprocess.DEVNULL)
    applied = subprocess.run(
        [*kubectl, "apply", "-n", "another", "-f", "-"], input=found.text(), capture_output=True, check=False
    )
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.decode().count(" created") == len(found.names)
