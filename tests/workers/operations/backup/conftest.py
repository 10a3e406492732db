"""Real PostgreSQL, S3 and Kubernetes for backups, and buckets and a database of each test's own."""

import uuid
from contextlib import suppress
from urllib.parse import urlsplit

import boto3
import psycopg
import pytest
import yaml
from psycopg import sql

from workers import settings
from workers.operation import Unwatched
from workers.systems import Systems

TABLES = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('dc11669786a5');
CREATE TABLE experiments (experiment_id int PRIMARY KEY, name text, artifact_location text);
INSERT INTO experiments SELECT n, 'experiment ' || n FROM generate_series(1, 20) n;
CREATE TABLE runs (run_uuid text PRIMARY KEY, experiment_id int REFERENCES experiments, artifact_uri text);
INSERT INTO runs SELECT md5(n::text), 1 + n % 20, 's3://x/' || n FROM generate_series(1, 500) n;
CREATE TABLE metrics (run_uuid text REFERENCES runs, key text, value float8, step int);
INSERT INTO metrics SELECT md5((1 + n % 500)::text), 'loss', random(), n FROM generate_series(1, 30000) n;
"""


class Silent(Unwatched):
    """Progress that remembers its steps."""

    def __init__(self, at=None):
        self.steps = []
        self.at = at

    def step(self, name, of=""):
        self.steps.append(name)
        if self.at:
            self.at(name)


@pytest.fixture
def progress():
    return Silent()


@pytest.fixture
def progress_that():
    """Makes a progress that calls a function with the name of each step."""
    return Silent


@pytest.fixture(scope="session")
def s3(parts):
    env = parts.env
    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


@pytest.fixture(scope="session")
def filled(parts):
    """The name of a database with tables such as MLflow's, to make others like."""
    name = f"filled_{uuid.uuid4().hex[:8]}"
    _make_database(parts, name)
    with psycopg.connect(_address(parts, name), autocommit=True) as connection:
        connection.execute(TABLES)
    return name


def _make_database(parts, name, like="template1"):
    statement = sql.SQL("CREATE DATABASE {} OWNER mlflow TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(like)
    )
    with psycopg.connect(parts.env["MLFLOW_OPS_DATABASE_ADMIN_URL"], autocommit=True) as connection:
        connection.execute(statement)


def _address(parts, name):
    return urlsplit(parts.env["MLFLOW_OPS_DATABASE_URL"])._replace(path=f"/{name}").geturl()


@pytest.fixture
def database_url(parts, filled):
    """A database of this test's own, with tables such as MLflow's."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    _make_database(parts, name, filled)
    yield _address(parts, name)
    admin = parts.env["MLFLOW_OPS_DATABASE_ADMIN_URL"]
    with suppress(psycopg.Error), psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def buckets(s3):
    """(artifacts, backups): two buckets of this test's own; ten artifacts in the first."""
    name = uuid.uuid4().hex[:8]
    pair = f"artifacts-{name}", f"backups-{name}"
    for bucket in pair:
        s3.create_bucket(Bucket=bucket)
    for n in range(10):
        s3.put_object(Bucket=pair[0], Key=f"1/run{n}/artifacts/model.pkl", Body=f"model {n}".encode() * 100)
    return pair


@pytest.fixture
def environ(parts, database_url, buckets, tmp_path):
    """The environment of a worker for that database and those buckets."""
    ops = {
        "kubernetes": {"namespace": "data-platform"},
        "storage": {"artifacts_bucket": buckets[0], "backups_bucket": buckets[1]},
        "backup": {"lock_wait_seconds": 2},
    }
    path = tmp_path / "ops.yaml"
    path.write_text(yaml.safe_dump(ops), encoding="utf-8")
    found = {**parts.env, "MLFLOW_OPS_DATABASE_URL": database_url, "MLFLOW_OPS_CONFIG": str(path)}
    del found["MLFLOW_TRACKING_URI"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        located = "UPDATE experiments SET artifact_location = %s || experiment_id"
        connection.execute(located, (f"s3://{buckets[0]}/",))
    return found


@pytest.fixture
def systems(environ, monkeypatch):
    """Makes the gateways for that environment, with changes to it."""

    def make(**changed):
        merged = {name: value for name, value in {**environ, **changed}.items() if value is not None}
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, merged[name])
        return Systems(settings.load(merged))

    return make


@pytest.fixture
def keys_in(s3):
    """The keys in a bucket under a prefix."""

    def keys(bucket, prefix=""):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    return keys
