"""The chart: kustomize's own objects for the same settings, what its schema refuses, what an API server says."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.deploy import chart, restricted
from tests.deploy.chart_cases import CASES, MINIMAL, ROOT, by_kustomize, said_in

helm = pytest.importorskip("helm_python", reason="pip install helm-python-sdk: Helm's own engine is not here")

OF_OPERATORS = {"monitoring.coreos.com", "keda.sh", "external-secrets.io", "admissionregistration.k8s.io"}
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")


@needs_kubectl
@pytest.mark.parametrize("name", CASES)
def test_chart_and_kustomize_make_the_same_objects(name, tmp_path):
    case = CASES[name]
    manifests = chart.alike(by_kustomize(case, tmp_path), case.namespace)
    charts = chart.alike(chart.rendered(helm, case.values, namespace=case.namespace), case.namespace)
    assert sorted(charts) == sorted(manifests)
    assert len(manifests) >= 17
    different = {key: (charts[key], manifests[key]) for key in manifests if charts[key] != manifests[key]}
    assert different == {}


def made(name):
    case = CASES[name]
    return chart.rendered(helm, case.values, namespace=case.namespace)


def pods(documents):
    """The spec of every pod, that of `helm test` too."""
    found = {}
    for each in documents:
        if each["kind"] in {"Deployment", "StatefulSet"}:
            found[each["metadata"]["name"]] = each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            found[each["metadata"]["name"]] = each["spec"]
    return found


@needs_kubectl
@pytest.mark.parametrize("name", CASES)
def test_the_api_server_takes_every_object(kubectl, name):
    documents = [each for each in made(name) if each["apiVersion"].split("/")[0] not in OF_OPERATORS]
    if CASES[name].namespace == "ml-prod":
        kubectl("create", "namespace", "ml-prod")
        kubectl("create", "serviceaccount", "mlflow-ops-worker", "--namespace", "ml-prod")
    given = yaml.safe_dump_all(documents)
    done = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=given)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(documents)


@pytest.mark.parametrize("name", CASES)
def test_every_pod_keeps_the_restricted_level_and_a_read_only_root(name):
    found = {pod: restricted.violations(spec) for pod, spec in pods(made(name)).items()}
    assert len(found) == {"a Redis of one's own": 5, "any moment, and peek": 7}.get(name, 6)
    assert {pod: breaches for pod, breaches in found.items() if breaches} == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bot": {"replica": 2}}, "at '/bot': additional properties 'replica' not allowed"),
        ({"redis": {"storage": "2GB"}}, "at '/redis/storage': '2GB' does not match pattern"),
        ({"image": {"pullPolicy": "always"}}, "at '/image/pullPolicy': value must be one of '', 'Always'"),
        ({"workers": {"ops": {"graceSeconds": "1h"}}}, "at '/workers/ops/graceSeconds': got string, want integer"),
        ({"ops": {"channels": ["general"]}}, "at '/ops/channels/0': 'general' does not match pattern"),
        ({"ops": {"rolls": {}}}, "at '/ops': additional properties 'rolls' not allowed"),
        ({"ops": {"restore": {"keep_aside_days": -1}}}, "at '/ops/restore/keep_aside_days': minimum: got -1, want 0"),
    ],
)  # fmt: skip
def test_helm_refuses_a_wrong_value_with_its_path(values, said):
    with pytest.raises(helm.HelmValuesError) as refused:
        chart.rendered(helm, values)
    assert said in str(refused.value)


def test_what_the_schema_cannot_know_is_asked_for():
    with pytest.raises(helm.HelmError, match=r"keda\.redisAddress: say host:port of your Redis"):
        chart.rendered(helm, {"redis": {"enabled": False}, "keda": {"enabled": True}})


def test_every_ops_yaml_that_the_product_takes_is_taken():
    """The examples of the document, as Helm reads YAML."""
    text = (ROOT / "docs" / "ops-yaml.md").read_text()
    examples = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert examples
    for each in examples:
        values = helm.values_from_yaml("ops:\n" + "".join(f"  {line}\n" for line in each.splitlines()))
        (configured,) = [one for one in chart.rendered(helm, values) if "ops.yaml" in one.get("data", {})]
        said = yaml.safe_load(configured["data"]["ops.yaml"])
        expected = yaml.safe_load(each)
        expected["kubernetes"] = {"namespace": "data-platform"} | expected.get("kubernetes", {})
        assert chart.Ops.model_validate(said) == chart.Ops.model_validate(expected)


def test_readme_and_schema_are_what_the_comments_of_the_values_say():
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "helm" / "document.py", "--check"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_lint_finds_nothing():
    found = helm.lint(chart.CHART, said_in(MINIMAL), strict=True)
    assert [each for each in found["messages"] if each["severity"] > 1] == []


def test_the_notes_say_what_is_missing_and_the_next_three_commands():
    said = chart.notes(helm, said_in(MINIMAL), name="ours", namespace="ml")
    commands = [line.strip() for line in said.splitlines() if line.startswith("     ")]
    assert commands == [
        "kubectl rollout status deployment/ours-mlflow-ops-bot --namespace ml",
        "helm test ours --namespace ml --logs",
        "/mlflow health",
    ]
    assert "wait for the Secrets mlflow-ops-slack, mlflow-ops-redis and mlflow-ops-worker" in said
    assert "ops.channels is empty" not in said
    assert "ops.channels is empty" in chart.notes(helm, {})
    assert "wait for the Secrets" not in chart.notes(helm, {"externalSecrets": {"enabled": True}})


def test_helm_test_runs_check_as_the_workers_do():
    (pod,) = [each["spec"] for each in made("minimal") if chart.is_test(each)]
    worker = pods(made("minimal"))["mlflow-ops-worker-quick"]
    assert pod["containers"][0]["args"] == ["check"]
    assert pod["containers"][0]["image"] == worker["containers"][0]["image"]
    assert pod["containers"][0]["envFrom"] == worker["containers"][0]["envFrom"]
    assert pod["serviceAccountName"] == worker["serviceAccountName"]
    assert pod["restartPolicy"] == "Never"


def _selectors(documents):
    for each in documents:
        spec = each.get("spec", {})
        for selector in (spec.get("selector"), spec.get("podSelector")):
            if selector:
                yield each["kind"], selector.get("matchLabels", selector)


def test_two_releases_in_one_namespace_share_nothing():
    first = chart.rendered(helm, CASES["production"].values, name="mlflow-ops-eu")
    second = chart.rendered(helm, CASES["production"].values, name="mlflow-ops-us")
    shared = {chart.named(each) for each in first} & {chart.named(each) for each in second}
    # The Secrets are named by values, and an operator's: whoever installs two gives them names.
    assert {kind for kind, _ in shared} == {"ExternalSecret"}
    for documents, name in ((first, "mlflow-ops-eu"), (second, "mlflow-ops-us")):
        for kind, selector in _selectors(documents):
            assert selector.get("app.kubernetes.io/instance") == name, kind


def test_mlflow_may_be_in_another_namespace():
    values = said_in(MINIMAL) | {"monitoring": {"enabled": True}, "admission": {"enabled": True}}
    values["ops"] = values["ops"] | {"kubernetes": {"namespace": "tracking"}}
    documents = chart.rendered(helm, values, namespace="ml-ops")
    where = {chart.named(each): each["metadata"].get("namespace") for each in documents}
    assert {key for key, namespace in where.items() if namespace == "tracking"} == {
        ("Role", "mlflow-ops-worker"), ("RoleBinding", "mlflow-ops-worker"),
    }  # fmt: skip
    named = {chart.named(each): each for each in documents}
    assert named["RoleBinding", "mlflow-ops-worker"]["subjects"][0]["namespace"] == "ml-ops"
    rules = named["NetworkPolicy", "mlflow-ops-worker-to-systems"]["spec"]["egress"]
    elsewhere = {"matchLabels": {"kubernetes.io/metadata.name": "tracking"}}
    assert [each["to"][0].get("namespaceSelector") for each in rules] == [elsewhere] * 3 + [None]
    expressions = str(named["PrometheusRule", "mlflow-ops"]["spec"])
    assert expressions.count('namespace="tracking"') == 2
    policy = named["ValidatingAdmissionPolicy", "ml-ops-mlflow-ops-jobs"]["spec"]
    assert policy["matchConditions"][0]["expression"].endswith("'system:serviceaccount:ml-ops:mlflow-ops-worker'")
    binding = named["ValidatingAdmissionPolicyBinding", "ml-ops-mlflow-ops-jobs"]["spec"]
    assert binding["matchResources"]["namespaceSelector"] == elsewhere


def test_what_charts_have_reaches_every_pod_and_a_process_has_its_own():
    values = {
        "image": {"repository": "r.example.com/ops", "digest": f"sha256:{'a' * 64}", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "commonLabels": {"team": "platform"},
        "target": "eu",
        "pods": {
            "nodeSelector": {"pool": "apps"},
            "tolerations": [{"key": "apps", "operator": "Exists"}],
            "annotations": {"a": "1"},
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}],
        },
        "workers": {"ops": {"nodeSelector": {"pool": "big"}, "extraEnv": [{"name": "X", "value": "1"}]}},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
    }
    documents = chart.rendered(helm, values)
    assert all(each["metadata"]["labels"]["team"] == "platform" for each in documents)
    found = {name: spec for name, spec in pods(documents).items() if name != "mlflow-ops-redis"}
    for name, spec in found.items():
        container = spec["containers"][0]
        assert container["image"] == f"r.example.com/ops@sha256:{'a' * 64}"
        assert container["imagePullPolicy"] == "Always"
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert spec["tolerations"] == [{"key": "apps", "operator": "Exists"}]
        assert spec["nodeSelector"] == {"pool": "big" if name.endswith("worker-ops") else "apps"}
        variables = {each["name"]: each.get("value") for each in container["env"]}
        assert variables["HTTPS_PROXY"] == "http://proxy:3128"
        assert variables["MLFLOW_OPS_TARGET"] == "eu"
        assert ("X" in variables) == name.endswith("worker-ops")
        assert {"name": "ca", "mountPath": "/etc/ca"} in container["volumeMounts"]
    (account,) = [each for each in documents if chart.named(each) == ("ServiceAccount", "mlflow-ops-worker")]
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}


def test_other_settings_roll_the_pods():
    def checksums(channel):
        documents = chart.rendered(helm, {"ops": {"channels": [channel]}})
        return {
            each["spec"]["template"]["metadata"]["annotations"]["checksum/ops"]
            for each in documents
            if each["kind"] == "Deployment"
        }

    assert len(checksums("C0123ABCD")) == 1
    assert checksums("C0123ABCD") != checksums("C0123ABCE")


@pytest.mark.parametrize("enabled", [True, False])
def test_external_secrets_make_each_secret_that_a_process_reads(enabled):
    values = said_in(MINIMAL) | {"externalSecrets": {"enabled": True}, "wal": {"enabled": enabled}}
    if enabled:
        values["ops"] = values["ops"] | {"recovery": {"point_in_time": True}}
    documents = chart.rendered(helm, values)
    made = {each["metadata"]["name"] for each in documents if each["kind"] == "ExternalSecret"}
    read = {name for each in documents if each["kind"] == "Deployment" for name in _secrets_of(each["spec"])}
    assert made == read
    assert ("mlflow-ops-replication" in made) == enabled


def _secrets_of(node):
    """The names of all Secrets that something in it refers to."""
    if isinstance(node, list):
        for each in node:
            yield from _secrets_of(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in {"secretRef", "secretKeyRef", "secret"}:
                yield value.get("name") or value["secretName"]
            else:
                yield from _secrets_of(value)
