"""The dashboard and the alerts: what they ask for is what is exported, and Grafana and Prometheus can read it."""

import itertools
import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.process import metrics
from workers.operations.backup.wal import receiving, state
from workers.operations.history.store import History, Sample
from workers.records import counters

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "mlflow-ops.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
PANELS = DASHBOARD["panels"]
SHOWN = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
ASKED = [*SHOWN, *(rule["expr"] for group in RULES["groups"] for rule in group["rules"])]

OF_OTHERS = {
    "up": "Prometheus",
    "container_memory_working_set_bytes": "cAdvisor",
    "kube_pod_container_resource_limits": "kube-state-metrics",
    "kube_pod_container_status_restarts_total": "kube-state-metrics",
    "kubelet_volume_stats_available_bytes": "kubelet",
    "kubelet_volume_stats_capacity_bytes": "kubelet",
}
WORDS = {"max", "min", "sum", "by", "on", "or", "and", "rate", "increase", "absent", "time", "vector", "predict_linear"}


def named(expression):
    """The metrics in an expression: words that are no function, no label, no duration and no text."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|(?<=by )\([^)]*\)|(?<=on )\([^)]*\)', " ", expression)
    return set(re.findall(r"[a-z_][a-z0-9_]*", bare)) - WORDS


@pytest.fixture
def exported(redis):
    """The names of all samples that the bot shows once everything has happened once."""
    counters.ended(redis, "scale", "done", 2.5)
    counters.slack_called(redis, "edit", "ok")
    figures = {figure: 1.0 for figure, _ in metrics._FIGURES.values()}
    History(redis).keep(Sample(datetime.now(UTC), figures, {}, {"postgres": "ok"}))
    state.note(redis, receiving.State(point_at=1.0))
    said = []
    environ = {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"}
    body = b"".join(metrics.app(redis, lambda: True)(environ, lambda status, _headers: said.append(status)))
    return {sample.name for each in text_string_to_metric_families(body.decode()) for sample in each.samples}


def test_whatever_is_asked_for_is_exported(exported):
    wanted = set().union(*map(named, ASKED))
    ours = {name for name in wanted if name.startswith("mlflow_ops_")}
    assert len(ours) > 12
    assert ours - exported == set()
    assert wanted - ours - OF_OTHERS.keys() == set()


def test_what_is_promised_is_exported_and_on_the_dashboard(exported):
    promised = {
        "mlflow_ops_queue_jobs", "mlflow_ops_queue_oldest_seconds", "mlflow_ops_operations_total",
        "mlflow_ops_operation_seconds_sum", "mlflow_ops_approvals_waiting", "mlflow_ops_slack_calls_total",
        "mlflow_ops_backup_age_seconds", "mlflow_ops_drill_age_seconds", "mlflow_ops_drill_well",
        "mlflow_ops_restore_seconds",
    }  # fmt: skip
    assert promised - exported == set()
    assert promised - set().union(*map(named, SHOWN)) == set()


def test_a_metric_that_is_not_there_would_be_seen():
    assert named('max by (a) (mlflow_ops_nope{b="c"}[1h])') == {"mlflow_ops_nope"}


def test_grafana_finds_what_it_needs():
    assert DASHBOARD["uid"]
    assert DASHBOARD["title"]
    assert DASHBOARD["schemaVersion"] >= 39
    assert "id" not in DASHBOARD, "Grafana gives it"
    variables = {each["name"]: each["type"] for each in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "namespace": "query"}
    namespaces = DASHBOARD["templating"]["list"][1]
    metric, label = re.fullmatch(r"label_values\((\w+)\{.*\}, (\w+)\)", namespaces["query"]["query"]).groups()
    assert metric in OF_OTHERS
    assert label == "namespace"
    assert namespaces["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert {"from", "to"} <= DASHBOARD["time"].keys()
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["type"] in {"stat", "timeseries", "state-timeline"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert {"defaults", "overrides"} <= panel["fieldConfig"].keys()
        assert [each["refId"] for each in panel["targets"]] == list("ABC")[: len(panel["targets"])]
        for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", ())[:1]:
            assert step["value"] is None, "the first step has no beginning"


def test_panels_stand_side_by_side():
    taken = {}
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for cell in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} covers {taken[cell]}"
            taken[cell] = panel["title"]


def test_prometheus_reads_every_query_of_the_dashboard(promtool, tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$namespace", "data-platform")}
        for number, expression in enumerate(SHOWN)
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(SHOWN)} rules found" in done.stdout
