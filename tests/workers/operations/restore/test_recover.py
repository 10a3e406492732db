"""Everything of MLflow is deleted, and comes back from one command: its role, database, bucket, objects; and works."""

import boto3
import psycopg
import pytest
import requests
from psycopg import sql

from workers import settings
from workers.errors import AlreadySo, OperatorError
from workers.operations.backup.backup import Backup
from workers.operations.restore import smoke_test
from workers.operations.restore.recover import Recover
from workers.report import Status
from workers.systems import Systems

pytestmark = pytest.mark.slow

LEFT_OUT = ("slack", "bot", "scheduler", "worker-quick", "worker-ops")
KINDS = (
    ("deployments", "apis/apps/v1", "mlflow"),
    ("services", "api/v1", "mlflow"),
    ("configmaps", "api/v1", "mlflow-config"),
    ("secrets", "api/v1", "mlflow-backend-secret"),
    ("ingresses", "apis/networking.k8s.io/v1", "mlflow-ingress"),
)


@pytest.fixture(scope="module")
def whole(start_sandbox_once, tmp_path_factory, seeded):
    path = tmp_path_factory.mktemp("recover") / "data"
    return start_sandbox_once(path, *(word for part in LEFT_OUT for word in ("--without", part)), like=seeded)


@pytest.fixture
def systems(whole, monkeypatch):
    for name, value in whole.env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return Systems(settings.load(whole.env))


def delete_everything(whole, systems):
    for kind, group, name in KINDS:
        systems.cluster.requests.send(systems.cluster.path(kind, name, group=group), "DELETE")
    admin = systems.admin_database.url
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE mlflow WITH (FORCE)")
    session = boto3.Session(whole.env["AWS_ACCESS_KEY_ID"], whole.env["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    store = session.resource("s3", endpoint_url=whole.env["AWS_ENDPOINT_URL_S3"])
    everything = store.Bucket(systems.settings.ops.storage.artifacts_bucket)
    everything.Versioning().suspend()
    # Listed to the end first: moto loses its place in the listing where versions are removed meanwhile.
    for page in list(everything.object_versions.pages()):
        gone = [{"Key": each.object_key, "VersionId": each.id} for each in page]
        everything.delete_objects(Delete={"Objects": gone, "Quiet": True})
    everything.delete()


def runs(systems):
    with psycopg.connect(systems.database.url, autocommit=True) as connection:
        return connection.execute("SELECT count(*), sum(hashtext(run_uuid)) FROM runs").fetchone()


def test_from_nothing_to_a_run_that_is_logged_and_again_where_it_stopped(whole, systems, progress, progress_that):
    with pytest.raises(OperatorError, match="no finished backup"):
        Recover().plan(systems)
    assert Backup().run(systems, progress).status in {Status.OK, Status.WARN}
    with pytest.raises(AlreadySo, match="Nothing of MLflow is missing"):
        Recover().plan(systems)
    before = runs(systems)
    objects = {kind: systems.cluster.named(kind, name, group).get("spec") for kind, group, name in KINDS[:2]}
    delete_everything(whole, systems)
    ops = systems.settings.ops.model_copy(
        update={"storage": systems.settings.ops.storage.model_copy(update={"artifacts_bucket": "elsewhere"})}
    )
    with pytest.raises(OperatorError, match="is of another MLflow: of the bucket mlflow-artifacts, not elsewhere"):
        Recover().plan(Systems(systems.settings.model_copy(update={"ops": ops})))
    plan = Recover().plan(systems)
    told = {change.what: change.before for change in plan.changes}
    assert told["Database"] == "there is no database mlflow"
    assert told["Bucket"].startswith("there is no bucket")
    assert "are missing" in told["Artifacts"]
    assert "deployment/mlflow" in told["Objects in the cluster"]
    assert "Role in PostgreSQL" not in told
    assert plan.digest == Recover().plan(systems).digest

    def stop(name):
        if name.startswith("Artifacts"):
            raise OperatorError("The store is away.")

    with pytest.raises(OperatorError):
        Recover().run(systems, progress_that(stop))
    assert runs(systems) == before
    report = Recover().run(systems, progress)
    assert report.status is Status.OK, report.summary
    assert "after that is lost, within the 1 h that may be" in report.summary
    (steps,) = report.sections
    outcome = dict(steps.items)
    assert outcome["Database"].startswith("skipped")
    assert outcome["Artifacts"].startswith("done in")
    assert "made, read back and deleted" in outcome["Smoke test"]
    assert runs(systems)[0] == before[0] + 1
    assert systems.cluster.deployment("mlflow")["status"]["readyReplicas"] == objects["deployments"]["replicas"]
    answer = requests.get(whole.env["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search?max_results=1")
    assert answer.ok
    assert systems.objects.versioning(systems.settings.ops.storage.artifacts_bucket) == "Enabled"
    with pytest.raises(AlreadySo):
        Recover().plan(systems)


def test_a_role_that_is_gone_is_made_with_its_password(whole, systems):
    from workers.operations.restore import prerequisites

    url = systems.database.url.replace("mlflow:", "mlflow_again:", 1)
    other = Systems(settings.load({**whole.env, "MLFLOW_OPS_DATABASE_URL": url}))
    server = other.server
    assert not prerequisites.has_role(server, "mlflow_again")
    try:
        prerequisites.make_role(server, "mlflow_again", other)
        assert prerequisites.has_role(server, "mlflow_again")
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("mlflow_again",)
    finally:
        with psycopg.connect(systems.admin_database.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE IF EXISTS mlflow_again"))


def test_the_smoke_test_can_fail(whole):
    away = Systems(settings.load({**whole.env, "MLFLOW_TRACKING_URI": whole.slack_url}))
    with pytest.raises(OperatorError, match="does not let us create an experiment"):
        smoke_test.test(away)
