"""The chart over time: earlier values, an upgrade and the way back in a cluster, its archive, and who installs it."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy import chart
from tests.deploy.chart_cases import CASES, DEPLOY, MINIMAL, said_in

helm = pytest.importorskip("helm_python", reason="pip install helm-python-sdk: Helm's own engine is not here")

HERE = Path(__file__).parent
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")


@pytest.mark.parametrize("file", sorted((HERE / "chart_values").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_values_of_each_release_are_taken_by_this_chart(file):
    """Every value that a release knew, said otherwise than by default: none may be refused later."""
    documents = chart.rendered(helm, helm.values_from_yaml(file.read_text()))
    assert len(documents) > 40


def test_the_values_that_are_kept_of_this_version_are_all_of_them():
    def paths(level, above=""):
        for key, value in level.items():
            if isinstance(value, dict) and value:
                yield from paths(value, f"{above}{key}.")
            else:
                yield f"{above}{key}"

    with helm.Chart.load(chart.CHART) as loaded:
        kept = yaml.safe_load((HERE / "chart_values" / f"{loaded.version}.yaml").read_text())
        known = {each for each in paths(loaded.values) if not re.search(r"(resources|podLabels)\.", each)}
    said = set(paths(kept))
    missing = {each for each in known if not any(one == each or one.startswith(f"{each}.") for one in said)}
    assert missing == set()


@needs_kubectl
@pytest.mark.slow
def test_helm_installs_upgrades_goes_back_and_leaves_nothing(cluster, kubectl):
    values = said_in(MINIMAL)
    values["ops"] = values["ops"] | {"kubernetes": {"namespace": "data-platform"}}
    with helm.Config(namespace="ml-ops", kubeconfig_path=cluster.kubeconfig) as releases:
        installed = releases.install(chart.CHART, "mlflow-ops-two", values, create_namespace=True)
        assert (installed["revision"], installed["status"]) == (1, "deployed")
        objects = "deployment,statefulset,networkpolicy,role,clusterrole,configmap,secret,serviceaccount"
        there = kubectl("get", objects, "-A", "-o", "name", "-l", "app.kubernetes.io/instance=mlflow-ops-two").stdout
        assert {"deployment.apps/mlflow-ops-two-bot", "statefulset.apps/mlflow-ops-two-redis"} <= set(there.split())

        upgraded = releases.upgrade(chart.CHART, "mlflow-ops-two", values | {"bot": {"replicas": 3}})
        assert (upgraded["revision"], upgraded["status"]) == (2, "deployed")
        asked = ("get", "deployment", "mlflow-ops-two-bot", "-n", "ml-ops", "-o", "jsonpath={.spec.replicas}")
        assert kubectl(*asked).stdout == "3"

        releases.rollback("mlflow-ops-two", version=1)
        assert kubectl(*asked).stdout == "1"

        releases.uninstall("mlflow-ops-two")
        left = kubectl("get", objects, "-A", "-o", "name", "-l", "app.kubernetes.io/instance=mlflow-ops-two").stdout
        assert left == ""
        assert "sh.helm.release" not in kubectl("get", "secret", "-n", "ml-ops", "-o", "name").stdout


def test_the_archive_holds_all_that_the_templates_read(tmp_path):
    archive = helm.package(chart.CHART, destination=tmp_path)
    assert Path(archive).name == "mlflow-ops-0.1.0.tgz"
    with helm.Chart.load(archive) as packed, helm.Chart.load(chart.CHART) as loose:
        both = [each.render(CASES["production"].values, name="a", namespace="b") for each in (packed, loose)]
    assert both[0] == both[1]


EXAMPLES = sorted((DEPLOY / "helm" / "examples").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_values_of_the_examples_are_the_charts(file):
    found = []
    for each in yaml.safe_load_all(file.read_text()):
        spec = each["spec"]
        found += [spec["source"]["helm"]["valuesObject"]] if each["kind"] == "Application" else []
        found += [spec["values"]] if each["kind"] == "HelmRelease" else []
        said = [spec["source"]["targetRevision"]] if each["kind"] == "Application" else []
        said += [spec["ref"]["tag"]] if each["kind"] == "OCIRepository" else []
        assert set(said) <= {helm.Chart.load(chart.CHART).version}
    (values,) = found
    assert len(chart.rendered(helm, values)) > 20


@pytest.fixture(scope="module")
def crds():
    """(apiVersion, kind) → the schema of Argo CD's and Flux's own CRDs (crds/take.py)."""
    files = [json.loads(file.read_text()) for file in sorted((HERE / "crds").glob("*.json"))]
    return {(each["apiVersion"], each["kind"]): chart.closed(each["schema"]) for each in files}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_crds_of_argo_cd_and_flux_take_the_examples(file, crds):
    for each in yaml.safe_load_all(file.read_text()):
        validator = chart.Draft202012Validator(crds[each["apiVersion"], each["kind"]])
        assert [error.message for error in validator.iter_errors(each)] == []
        assert list(validator.iter_errors(each | {"spec": each["spec"] | {"intervall": "1h"}}))
