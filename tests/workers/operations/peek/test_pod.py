"""The Job of a peek: what it has of the Deployment, and what it must not have."""

import json
import time
from datetime import UTC, datetime

import pytest

from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.peek import pod, pod_program
from workers.operations.peek.state import Asked

NAMES = {"kubernetes": {"deployment": "mlflow", "container": "mlflow"}}
SECRET = "postgresql+psycopg2://mlflow:p%40ss@postgres.data-platform:5432/mlflow?sslmode=verify-full&sslrootcert=/ca"


@pytest.fixture
def wanted():
    return Asked(id="1a2b3c", at=datetime.now(UTC), until=time.time() + 600, job="mlflow-peek-00000000")


def environment(**given):
    return pod_program.environment({"STORE": SECRET, **given}, "STORE", "10.1.2.3:40001", "")


def test_its_database_is_the_private_one_with_the_roles_own_password():
    made = environment()["MLFLOW_BACKEND_STORE_URI"]
    assert made == "postgresql+psycopg2://mlflow:p%40ss@10.1.2.3:40001/mlflow"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_PROFILE",
        "AZURE_STORAGE_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "MLFLOW_ARTIFACTS_DESTINATION",
        "MLFLOW_REGISTRY_STORE_URI", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_AUTH_CONFIG_PATH",
        "MLFLOW_READ_REPLICA_BACKEND_STORE_URI", "GUNICORN_CMD_ARGS",
    ],
)  # fmt: skip
def test_nothing_that_writes_elsewhere_reaches_mlflow(name):
    assert environment(**{name: "real"}).get(name) != "real"


def test_what_a_pod_needs_besides_stays():
    assert environment(PATH="/usr/bin", SSL_CERT_FILE="/ca.pem").items() >= {
        "PATH": "/usr/bin", "SSL_CERT_FILE": "/ca.pem", "MLFLOW_SERVE_ARTIFACTS": "false"
    }.items()  # fmt: skip


def test_the_job_has_the_deployments_image_and_settings_and_only_empty_volumes(make, wanted):
    systems = make(**NAMES)
    deployment = systems.cluster.deployment("mlflow")["spec"]["template"]["spec"]["containers"][0]

    made = pod._manifest(systems, wanted, "10.1.2.3:40001")

    spec = made["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == deployment["image"]
    assert container["env"] == deployment["env"]
    assert all("emptyDir" in volume for volume in spec["volumes"])
    assert {each["name"] for each in container["volumeMounts"]} <= {each["name"] for each in spec["volumes"]}
    assert spec["automountServiceAccountToken"] is False
    assert 600 < made["spec"]["activeDeadlineSeconds"] <= 661
    assert "p%40ss" not in json.dumps(made)


def test_a_database_that_nobody_answers_for_is_told_and_the_job_says_why(make, wanted):
    systems = make(**NAMES)
    try:
        with pytest.raises(OperatorError, match=r"nobody answers at 127\.0\.0\.1:1"):
            pod.open_on(systems, Unwatched(), wanted, "127.0.0.1:1")
        assert pod.running(systems) == [wanted.job]
    finally:
        systems.cluster.delete_job(wanted.job)
    assert pod.running(systems) == []


def test_the_names_that_mlflow_answers_to_are_those_of_the_link(make):
    assert make(**NAMES).settings.ops.peek.allowed_hosts == ""
    hosts = make(**NAMES, peek={"url": "https://peek.example.com/then"}).settings.ops.peek.allowed_hosts.split(",")
    assert {"peek.example.com", "peek.example.com:*", "127.0.0.1:*"} <= set(hosts)
