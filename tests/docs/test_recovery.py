"""docs/recovery-without-this-product.md, executed: a backup restored with plain tools and no line of ours."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import psycopg
import pytest
import yaml

from mlflow_ops_sandbox.parts import postgres

TOOLS = ("aws", "jq", "zstd", "sha256sum", "kubectl")
DOCUMENT = "recovery-without-this-product.md"
pytestmark = [
    pytest.mark.skipif(
        bool([each for each in TOOLS if shutil.which(each) is None]), reason=f"needs {', '.join(TOOLS)} on PATH"
    ),
    pytest.mark.timeout(400),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def s3(sandbox):
    return boto3.client(
        "s3",
        endpoint_url=sandbox.env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=sandbox.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=sandbox.env["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


@pytest.fixture(scope="module")
def environment(sandbox, s3, tmp_path_factory):
    """What the document says that one must know, and a PATH without any program of ours."""
    for number in range(20):  # enough to be kept together
        s3.put_object(Bucket="mlflow-artifacts", Key=f"recovered/{number}.txt", Body=f"small {number}".encode())
    made = subprocess.run(
        [sys.executable, "-m", "bot", "run", "backup", "--yes-by", "tester"],
        env={**os.environ, **sandbox.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    s3.create_bucket(Bucket="recovered-artifacts")
    admin = urlsplit(sandbox.env["MLFLOW_OPS_DATABASE_ADMIN_URL"])
    ours = str(Path(sys.executable).parent)
    path = [each for each in os.environ["PATH"].split(":") if each != ours]
    # Any Python with python3-cryptography, and nothing of ours to import.
    python = tmp_path_factory.mktemp("bin") / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I "$@"\n')
    python.chmod(0o755)
    return {
        "PATH": ":".join([str(postgres.installed_programs()), str(python.parent), *path]),
        "HOME": os.environ["HOME"],
        "AWS_ACCESS_KEY_ID": sandbox.env["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": sandbox.env["AWS_SECRET_ACCESS_KEY"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": sandbox.env["AWS_ENDPOINT_URL_S3"],
        "KUBECONFIG": sandbox.env["KUBECONFIG"],
        "MLFLOW_OPS_BACKUP_KEY": sandbox.env["MLFLOW_OPS_BACKUP_KEY"],
        "BACKUPS": "mlflow-backups",
        "ARTIFACTS": "recovered-artifacts",
        "SERVER_URL": f"postgresql://{admin.username}@{admin.hostname}:{admin.port}/",
        "PGPASSWORD": str(admin.password),
        "DATABASE": "by_hand",
        "NAMESPACE": "recovered",
    }


def followed(script, environment, folder):
    return subprocess.run(
        ["bash", "-c", script], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def recovered(environment, documents, tmp_path_factory):
    """Where the document was followed from its first line to its last."""
    folder = tmp_path_factory.mktemp("recovered")
    shutil.copy(documents.DOCS / "decrypt.py", folder)
    done = followed("".join(documents.blocks(DOCUMENT, "sh")), environment, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_database_is_there_row_by_row(recovered, environment):
    manifest = json.loads((recovered / "set" / "manifest.json").read_text())
    address = environment["SERVER_URL"] + environment["DATABASE"]
    with psycopg.connect(address, password=environment["PGPASSWORD"]) as connection:
        for table, rows in manifest["database"]["rows"].items():
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,)
        assert connection.execute("SELECT count(*) FROM experiments").fetchone()[0] > 1


def test_the_artifacts_are_there_byte_by_byte(recovered, s3):
    def content(bucket):
        listed = [each for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
                  for each in page.get("Contents", ())]  # fmt: skip
        return {each["Key"]: s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in listed}

    assert len(content("recovered-artifacts")) > 1
    assert content("recovered-artifacts") == content("mlflow-artifacts")
    lines = map(json.loads, (recovered / "artifacts.jsonl").read_text(encoding="utf-8").splitlines())
    assert sum("at" in each for each in lines) >= 20


def test_the_configuration_is_there_and_in_the_cluster(recovered, environment):
    wanted = {
        (each["kind"], each["metadata"]["name"])
        for each in yaml.safe_load_all((recovered / "set" / "config.yaml").read_text())
    }
    assert ("Secret", "mlflow-backend-secret") in wanted
    done = followed(
        "kubectl get deployment,service,configmap,secret,ingress -n recovered -o json", environment, recovered
    )
    there = {(each["kind"], each["metadata"]["name"]) for each in json.loads(done.stdout)["items"]}
    assert {each for each in wanted if each[0] in {"Deployment", "Service", "ConfigMap", "Secret", "Ingress"}} <= there


@pytest.mark.parametrize("part", ["database.dump.enc", "artifacts.jsonl.zst.enc", "config.yaml.enc"])
def test_the_third_step_sees_a_changed_byte(recovered, environment, documents, tmp_path, part):
    shutil.copytree(recovered / "set", tmp_path / "set")
    content = bytearray((tmp_path / "set" / part).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "set" / part).write_bytes(content)
    name = json.loads((tmp_path / "set" / "manifest.json").read_text())["name"]
    checking = documents.blocks(DOCUMENT, "sh")[1]
    done = followed(f"SET={name}\n{checking}", environment, tmp_path)
    assert done.returncode != 0
    assert f"set/{part}: FAILED" in done.stdout
