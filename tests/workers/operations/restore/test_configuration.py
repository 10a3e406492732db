"""The configuration of a set takes the place of what is there; what does not come up is put back, secrets unseen."""

from contextlib import suppress

import pytest

from workers import settings
from workers.errors import AlreadySo, OperatorError
from workers.operation import Cancelled
from workers.operations.backup.backup import Backup
from workers.operations.restore.configuration import RestoreConfiguration
from workers.report import Status
from workers.systems import Systems
from workers.systems.errors import ClusterNotFound

LEFT_OUT = ("slack", "bot", "scheduler", "worker-quick", "worker-ops")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(start_sandbox_once, tmp_path_factory, seeded):
    path = tmp_path_factory.mktemp("configuration") / "data"
    return start_sandbox_once(path, *(word for part in LEFT_OUT for word in ("--without", part)), like=seeded)


@pytest.fixture
def systems(whole, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        if name in whole.env:
            monkeypatch.setenv(name, whole.env[name])
    return Systems(settings.load(whole.env))


@pytest.fixture
def backed_up(systems, progress):
    """The gateways and a set of the configuration; afterwards all is as it was."""
    Backup(parts=("config",)).run(systems, progress)
    (name,) = sets_of(systems)[-1:]
    yield systems
    with suppress(AlreadySo):
        RestoreConfiguration(set=name).run(systems, progress)


def sets_of(systems):
    from workers.operations.backup import sets

    return [sets.id_of(name) for name in sets.names(systems.objects, systems.settings.ops.storage.backups_bucket)]


def test_what_is_as_it_was_is_not_touched(backed_up, progress):
    with pytest.raises(AlreadySo, match="objects are as the backup holds them"):
        RestoreConfiguration().plan(backed_up)


def test_a_broken_configuration_is_put_back_and_the_way_back_is_there(backed_up, progress):
    cluster, names = backed_up.cluster, backed_up.settings.ops.kubernetes
    before = cluster.configmap(names.configmap)["data"]
    cluster.patch_configmap(names.configmap, {"data": {"BROKEN": "yes", next(iter(before)): "something else"}})
    secret = cluster.secret(names.secret)
    cluster.replace("secrets", {**secret, "apiVersion": "v1", "kind": "Secret", "data": {"other": "c2VjcmV0LXdvcmQ="}})
    cluster.patch_deployment(names.deployment, {"spec": {"replicas": 3}})
    plan = RestoreConfiguration().plan(backed_up)
    told = {change.what: (change.before, change.after) for change in plan.changes}
    assert told["deployment/mlflow spec.replicas"] == ("3", "2")
    assert told[f"configmap/{names.configmap} data.BROKEN"] == ("yes", "none")
    assert told[f"secret/{names.secret} data.other"] == ("a secret value", "none")
    assert "c2VjcmV0" not in plan.model_dump_json()
    assert plan.digest == RestoreConfiguration().plan(backed_up).digest
    report = RestoreConfiguration().run(backed_up, progress)
    assert report.status is Status.OK, report.summary
    assert cluster.configmap(names.configmap)["data"] == before
    assert cluster.secret(names.secret)["data"] == secret["data"]
    assert cluster.deployment(names.deployment)["status"]["readyReplicas"] == 2
    back = RestoreConfiguration(set=report.undo.rpartition(" ")[2]).plan(backed_up)
    assert "deployment/mlflow spec.replicas" in {change.what for change in back.changes}


def test_only_what_was_chosen(backed_up, progress):
    cluster, names = backed_up.cluster, backed_up.settings.ops.kubernetes
    cluster.patch_configmap(names.configmap, {"data": {"BROKEN": "yes"}})
    cluster.patch_deployment(names.deployment, {"spec": {"replicas": 3}})
    plan = RestoreConfiguration(only=("deployment",)).plan(backed_up)
    assert {change.what for change in plan.changes} == {"deployment/mlflow spec.replicas"}
    with pytest.raises(OperatorError, match="holds none of cronjob"):
        RestoreConfiguration(only=("cronjob",)).plan(backed_up)


def test_what_does_not_come_up_is_put_back(backed_up, progress, progress_that):
    cluster, names = backed_up.cluster, backed_up.settings.ops.kubernetes
    good = cluster.deployment(names.deployment)["spec"]["template"]["spec"]["containers"][0]["image"]
    bad = {"spec": {"template": {"spec": {"containers": [{"name": names.container, "image": f"{good}-nosuch"}]}}}}
    back = {"spec": {"template": {"spec": {"containers": [{"name": names.container, "image": good}]}}}}
    cluster.patch_deployment(names.deployment, bad)
    Backup(parts=("config",)).run(backed_up, progress)
    broken = sets_of(backed_up)[-1]
    cluster.patch_deployment(names.deployment, back)
    report = RestoreConfiguration(set=broken).run(backed_up, progress)
    assert report.status is Status.FAIL
    assert "does not come up" in report.summary
    assert "are back, and every pod is ready" in report.summary or "is back" in report.summary, report.summary
    spec = cluster.deployment(names.deployment)["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == good


def test_one_that_is_stopped_leaves_what_was_there(backed_up, progress):
    cluster, names = backed_up.cluster, backed_up.settings.ops.kubernetes
    cluster.patch_configmap(names.configmap, {"data": {"BROKEN": "yes"}})
    cluster.patch_deployment(names.deployment, {"spec": {"replicas": 3}})

    class Stopping(type(progress)):
        def checkpoint(self):
            if "deployment/mlflow" in self.steps[-1]:
                raise Cancelled

    with pytest.raises(Cancelled) as stopped:
        RestoreConfiguration().run(backed_up, Stopping())
    assert "are back" in stopped.value.left
    assert cluster.configmap(names.configmap)["data"]["BROKEN"] == "yes"
    assert cluster.deployment(names.deployment)["spec"]["replicas"] == 3


def test_what_is_gone_is_made(backed_up, whole, progress):
    cluster, names = backed_up.cluster, backed_up.settings.ops.kubernetes
    admin = Systems(settings.load(whole.env)).cluster
    admin.requests.send(admin.path("ingresses", names.ingress, group="apis/networking.k8s.io/v1"), "DELETE")
    with pytest.raises(ClusterNotFound):
        cluster.ingress(names.ingress)
    plan = RestoreConfiguration(only=("ingress",)).plan(backed_up)
    assert [(change.what, change.before) for change in plan.changes] == [(f"ingress/{names.ingress}", "missing")]
    assert RestoreConfiguration(only=("ingress",)).run(backed_up, progress).status is Status.OK
    assert cluster.ingress(names.ingress)["spec"]["rules"]
