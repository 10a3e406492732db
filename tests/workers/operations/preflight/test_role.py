"""The Roles in deploy/kubernetes grant exactly what the commands need, and `check` asks for exactly that.

That it is what they need is compared at the end of a whole run with every call of every test (tests/permissions.py).
"""

import os
from pathlib import Path

import pytest
import yaml

from mlflow_ops_sandbox.cluster.apiserver import least_privilege
from mlflow_ops_sandbox.cluster.apiserver.access import Attributes
from mlflow_ops_sandbox.cluster.apiserver.identity import admin, service_account
from mlflow_ops_sandbox.cluster.apiserver.least_privilege import Permission, Used
from mlflow_ops_sandbox.cluster.seed.access import WORKER_ACCOUNT
from tests import permissions
from workers import settings
from workers.operations.preflight.kubernetes import FOR_EXEC, FOR_RECOVERY, HELPFUL, NEEDED
from workers.settings import KubernetesNames
from workers.systems import Systems

KUBERNETES = Path(__file__).parents[4] / "deploy" / "kubernetes"


@pytest.mark.parametrize(
    ("file", "asked"),
    [
        ("access/role.yaml", NEEDED),
        ("access/clusterrole.yaml", HELPFUL),
        ("recovery/role.yaml", FOR_RECOVERY),
        ("exec/role.yaml", FOR_EXEC),
    ],
)
def test_the_role_and_the_check_name_the_same_permissions(file, asked):
    granted = {
        (verb, group, resource, name)
        for rule in yaml.safe_load((KUBERNETES / file).read_text())["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    names = KubernetesNames()
    assert granted == {(each.verb, each.group, each.resource, each.name(names)) for each in asked}


def test_what_the_product_asks_of_the_api_server_is_noted_and_nobody_elses(tmp_path):
    used, worker = Used(tmp_path / "used.jsonl"), service_account("a", WORKER_ACCOUNT)
    used.note(admin(), Attributes("patch", "", "secrets", namespace="a", name="b"), "mlflow-ops/0.1.0")
    used.note(worker, Attributes("list", "", "pods", namespace="a"), "mlflow-ops/0.1.0")
    used.note(worker, Attributes("list", "", "pods", namespace="a"), "mlflow-ops/0.1.0")
    used.note(worker, Attributes("get", "", "pods", "exec", namespace="a", name="mlflow-1"), "")
    used.note(worker, Attributes("delete", "", "pods", namespace="a", name="mlflow-1"), "kubectl/v1.36.2")
    used.note(worker, Attributes("create", "authorization.k8s.io", "selfsubjectaccessreviews"), "mlflow-ops/0.1.0")
    assert least_privilege.used(tmp_path) == {
        Permission("list", "", "pods"),
        Permission("get", "", "pods/exec", "mlflow-1"),
        Permission("create", "", "pods/exec", "mlflow-1"),
    }


def test_what_was_refused_is_told_with_its_test_unless_that_means_it(tmp_path, monkeypatch):
    file, worker = tmp_path / "permissions" / "used.jsonl", service_account("a", WORKER_ACCOUNT)
    file.parent.mkdir()
    monkeypatch.setenv(least_privilege.PROCESS, "gw0")
    Used(file).note(worker, Attributes("list", "", "nodes"), "mlflow-ops/0.1.0", allowed=False)
    Used(file).note(worker, Attributes("list", "", "pods", namespace="a"), "mlflow-ops/0.1.0")
    assert least_privilege.used(tmp_path / "permissions") == {Permission("list", "", "pods")}
    refused, used = least_privilege.noted(tmp_path / "permissions")
    spans = [
        {"test": "t.py::another", "by": "gw1", "began": refused.at - 1, "ended": used.at + 1},
        {"test": "t.py::earlier", "by": "gw0", "began": refused.at - 2, "ended": refused.at - 1},
        {"test": "t.py::this", "by": "gw0", "began": refused.at - 1, "ended": used.at + 1},
    ]
    nodes = Permission("list", "", "nodes", everywhere=True)
    assert list(permissions.refusals([refused, used], spans)) == [(nodes, "t.py::this")]
    assert permissions.table({used.permission, nodes}, [refused, used], spans).splitlines()[2:4] == [
        "| list nodes everywhere | nothing |",
        "| list pods | t.py::this |",
    ]
    monkeypatch.setattr(permissions, "MEANT", {"::this": "it says so"})
    assert not list(permissions.refusals([refused, used], spans))


def test_what_the_permissions_are_asked_of_exists():
    tests = Path(permissions.__file__).parent
    for file in permissions.FILES:
        path, _, name = file.partition("::")
        assert f"def {name}" in (tests.parent / path).read_text(encoding="utf-8"), file
    every = "".join(file.read_text(encoding="utf-8") for file in tests.rglob("test_*.py"))
    for meant in permissions.MEANT:
        assert f"def {meant.removeprefix('::').partition('[')[0]}(" in every, meant


def test_a_verb_more_or_less_in_a_role_is_told():
    pods, secret = Permission("list", "", "pods"), Permission("get", "", "secrets", "mlflow-tls")
    assert least_privilege.differences({pods, secret}, {pods, secret}) == []
    assert least_privilege.differences({pods}, {pods, secret}) == ["no Role has it, and it was used: get secrets"]
    more = Permission("patch", "apps", "deployments")
    assert least_privilege.differences({pods, more}, {pods}) == [
        "a Role has it, and nothing used it: patch deployments.apps"
    ]
    assert least_privilege.differences({secret}, {Permission("get", "", "secrets", "another")}) == [
        "a Role has it, and nothing used it: get secrets mlflow-tls"
    ]
    everywhere = Permission("list", "", "pods", everywhere=True)
    assert least_privilege.differences({pods}, {everywhere, pods}) == [
        "no Role has it, and it was used: list pods everywhere"
    ]


def test_the_sandboxs_own_server_notes_what_a_worker_does(sandbox):
    folder = Path(os.environ[least_privilege.FOLDER])
    names = KubernetesNames()
    worker = {"KUBECONFIG": str(Path(sandbox.env["KUBECONFIG"]).with_name("kubeconfig-worker"))}
    Systems(settings.load(sandbox.process_env | worker)).cluster.within(9).secret(names.tls_secret)
    assert Permission("get", "", "secrets", names.tls_secret) in least_privilege.used(folder)


def test_a_run_that_used_less_than_the_roles_grant_fails_at_its_end_unless_tests_were_skipped(tmp_path):
    (tmp_path / "permissions").mkdir()
    assert permissions.main(tmp_path) == 1
    (tmp_path / "skipped").touch()
    assert permissions.main(tmp_path) == 0
