"""Archives of logs: redacted, compressed, encrypted and signed, and read with nothing but docs/decrypt.py."""

import base64
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ops_sandbox.cluster.api.objects import labels_of, name_of
from mlflow_ops_sandbox.cluster.api.resources import PODS
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from
from tests.workers.operations.backup.artifacts.conftest import credentials, store  # noqa: F401 - fixtures
from workers import settings
from workers.operation import Unwatched
from workers.operations.logs.archive import LogsArchive
from workers.operations.logs.redacting import KEY_LINES_AT_MOST, LINE_AT_MOST, Redacting
from workers.redaction import one_line
from workers.report import Status
from workers.systems import Systems

DECRYPT = Path(__file__).parents[4] / "docs" / "decrypt.py"
NAMESPACE, BACKUPS = "data-platform", "backups-of-logs"
KEY = base64.b64encode(b"k" * 32).decode()
PEM = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"MIIEowIBAAKCAQEAuXf\n" * 27 + b"-----END RSA PRIVATE KEY-----\n"
SECRETS = ("password=swordfish", "postgresql://mlflow:hunter22@db/x", "AKIAABCDEFGHIJKLMNOP")


def redacted(*pieces):
    clean = Redacting()
    return b"".join(map(clean.add, pieces)) + clean.end()


@given(st.lists(st.text(alphabet="ab =:/@.*\n", max_size=40), max_size=8), st.data())
def test_however_a_log_comes_in_pieces_each_line_is_redacted_as_a_whole(lines, data):
    at = data.draw(st.integers(0, len(lines)))
    text = "\n".join([*lines[:at], *SECRETS, *lines[at:]]).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[one:other] for one, other in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    kept = redacted(*pieces)
    assert kept.decode().split("\n") == [one_line(each) for each in text.decode().split("\n")]
    for secret in (b"swordfish", b"hunter22", b"AKIAABCDEFGHIJKLMNOP"):
        assert secret not in kept


@given(st.integers(1, len(PEM) - 1))
def test_a_private_key_goes_from_its_first_line_to_its_last(cut):
    kept = redacted(b"before\n" + PEM[:cut], PEM[cut:] + b"after\n")
    assert b"MIIE" not in kept
    assert (kept[:7], kept[-6:]) == (b"before\n", b"after\n")


def test_what_only_begins_like_a_key_costs_no_more_than_its_lines():
    kept = redacted(b"-----BEGIN PRIVATE KEY-----\n" + b"line\n" * 1000).split(b"\n")
    assert kept.count(b"line") == 1001 - KEY_LINES_AT_MOST


def test_a_line_without_an_end_is_cut_and_says_so():
    kept = redacted(*[b"x" * 100_000] * 9)
    assert len(kept) < LINE_AT_MOST + 100
    assert kept.endswith("… (623 KiB left out)".encode())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    wiring = wiring_from({"mlflow": {"upstream": "http://127.0.0.1:9", "version": "3.16.0"}})
    with running_cluster(Options(tmp_path_factory.mktemp("cluster"), wiring)) as running:
        until(lambda: len(pods(running)) == 2)
        yield running


def pods(cluster):
    found = [pod for pod in cluster.cluster.store.all(PODS, NAMESPACE) if labels_of(pod).get("app") == "mlflow"]
    return [pod for pod in found if all("running" in each["state"] for each in pod["status"]["containerStatuses"])]


@pytest.fixture
def s3(store, credentials):  # noqa: F811 - the fixtures
    client = boto3.client("s3", endpoint_url=store, region_name="us-east-1")
    client.create_bucket(Bucket=BACKUPS)
    yield client
    for item in client.list_objects_v2(Bucket=BACKUPS).get("Contents", ()):
        client.delete_object(Bucket=BACKUPS, Key=item["Key"])


@pytest.fixture
def systems(cluster, store, s3, tmp_path):  # noqa: F811 - the fixture
    path = tmp_path / "ops.yaml"
    ops = {"kubernetes": {"namespace": NAMESPACE}, "storage": {"backups_bucket": BACKUPS}}
    path.write_text(yaml.safe_dump(ops), encoding="utf-8")

    def load(**environ):
        given = {
            "KUBECONFIG": str(cluster.kubeconfig.with_name("kubeconfig-worker")),
            "AWS_ENDPOINT_URL_S3": store,
            "MLFLOW_OPS_CONFIG": str(path),
        }
        return Systems(settings.load(given | environ))

    return load


@pytest.fixture
def logged(cluster):
    """What a pod has written: secrets, a private key and what is none."""
    pod = min(pods(cluster), key=name_of)
    restarts = pod["status"]["containerStatuses"][0]["restartCount"]
    cluster.cluster.logs.append(pod, "mlflow", restarts, *SECRETS, *PEM.decode().splitlines(), "run 7 is finished")
    return name_of(pod)


def fetched(s3, folder):
    """The whole bucket, as `aws s3 cp --recursive` would."""
    for item in s3.list_objects_v2(Bucket=BACKUPS)["Contents"]:
        path = folder / item["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=BACKUPS, Key=item["Key"])["Body"].read())
    return next(folder.glob("logs/*"))


def decrypted(folder, name):
    return subprocess.run(
        [sys.executable, "-I", DECRYPT, "set", name, folder],
        env={"MLFLOW_OPS_BACKUP_KEY": KEY},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_kept_is_redacted_encrypted_and_signed_and_read_with_plain_tools(systems, s3, logged, tmp_path):
    report = LogsArchive().run(systems(MLFLOW_OPS_BACKUP_KEY=KEY), Unwatched())
    assert report.status is Status.OK, report
    folder = fetched(s3, tmp_path)
    stored = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert {path.suffix for path in stored} == {".enc"}
    for path in stored:
        assert path.read_bytes().startswith(b"mlflow-ops-encrypted 1 ")
    done = decrypted(folder, f"logs/{folder.name}/")
    assert (done.returncode, done.stdout) == (0, "signed\n"), done.stderr
    text = gzip.decompress((folder / logged / "mlflow.log.gz").read_bytes()).decode()
    assert "run 7 is finished" in text
    for secret in ("swordfish", "hunter22", "AKIAABCDEFGHIJKLMNOP", "MIIE"):
        assert secret not in text
    # Under another name, or changed, it is not read.
    assert "FORGED" in decrypted(folder, "logs/20000101T000000Z-abcdef/").stderr
    told = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(told | {"missed": ["one more"]}))
    assert "FORGED" in decrypted(folder, f"logs/{folder.name}/").stderr
    (folder / "manifest.json").write_text(json.dumps(told))
    body = (folder / logged / "mlflow.log.gz.enc").read_bytes()
    (folder / logged / "mlflow.log.gz.enc").write_bytes(body[:-20] + os.urandom(20))
    assert decrypted(folder, f"logs/{folder.name}/").returncode != 0


def test_without_a_key_it_is_redacted_and_says_that_it_is_not_encrypted(systems, s3, logged, tmp_path):
    plain = systems()
    assert "NOT ENCRYPTED: MLFLOW_OPS_BACKUP_KEY is not set" in LogsArchive().plan(plain).warnings[0]
    report = LogsArchive().run(plain, Unwatched())
    assert report.status is Status.WARN
    assert "NOT ENCRYPTED" in report.summary
    folder = fetched(s3, tmp_path)
    text = gzip.decompress((folder / logged / "mlflow.log.gz").read_bytes()).decode()
    assert "run 7 is finished" in text
    assert "swordfish" not in text
    assert json.loads((folder / "manifest.json").read_bytes())["signature"] is None
