"""Each alert fires where it should and stays quiet where it should not, by Prometheus' own test runner."""

import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yaml"
ALERTS = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
UP = 'up{job="mlflow", instance="a"}'
OURS = 'mlflow_ops_redis_up{job="mlflow-ops"}'
POD = 'namespace="data-platform", pod="mlflow-1", container="mlflow"'
USED = f"container_memory_working_set_bytes{{{POD}}}"
LIMIT = f'kube_pod_container_resource_limits{{{POD}, resource="memory"}}'

VOLUME = '{namespace="data-platform", persistentvolumeclaim="data-postgres-0"}'
FREE, SIZE = f"kubelet_volume_stats_available_bytes{VOLUME}", f"kubelet_volume_stats_capacity_bytes{VOLUME}"

CASES = {
    "MLflowDown": ({UP: "0x60"}, {UP: "1x60"}, "30m"),
    "MLflowHighMemory": ({USED: "95x60", LIMIT: "100x60"}, {USED: "50x60", LIMIT: "100x60"}, "30m"),
    "MLflowDatabaseError": (
        {'mlflow_ops_health{check="postgres"}': "3x60"}, {'mlflow_ops_health{check="postgres"}': "2x60"}, "30m"
    ),
    "MLflowBackupTooOld": (
        {"mlflow_ops_backup_age_seconds": "4000x60"}, {"mlflow_ops_backup_age_seconds": "3500x60"}, "30m"
    ),
    "MLflowDrillFailed": ({"mlflow_ops_drill_well": "0x60"}, {"mlflow_ops_drill_well": "1x60"}, "30m"),
    "MLflowDrillOverdue": (
        {"mlflow_ops_drill_age_seconds": "1300000x60"}, {"mlflow_ops_drill_age_seconds": "600000x60"}, "30m"
    ),
    "MLflowRecoveryPointTooOld": (
        {"mlflow_ops_recovery_point_seconds": "700x60"}, {"mlflow_ops_recovery_point_seconds": "500x60"}, "30m"
    ),
    "MLflowWALNotKept": ({"mlflow_ops_wal_kept": "0x60"}, {"mlflow_ops_wal_kept": "1x60"}, "30m"),
    "MLflowWALMissing": ({"mlflow_ops_wal_gaps": "1x60"}, {"mlflow_ops_wal_gaps": "0x60"}, "30m"),
    "MLflowBaseBackupTooOld": (
        {"mlflow_ops_base_backup_age_seconds": "180000x120"},
        {"mlflow_ops_base_backup_age_seconds": "90000x120"},
        "90m",
    ),
    "MLflowCertificateEnds": (
        {"mlflow_ops_certificate_left_days": "13x120"}, {"mlflow_ops_certificate_left_days": "15x120"}, "90m"
    ),
    "MLflowDatabaseFillsUp": (
        {"mlflow_ops_database_size_bytes": "1000+1x700"}, {"mlflow_ops_database_size_bytes": "100000000+1x700"}, "11h"
    ),
    "MLflowDiskFillsUp": (
        {FREE: "30000-20x600", SIZE: "100000x600"}, {FREE: "30000-1x600", SIZE: "100000x600"}, "9h"
    ),
    "MLflowOpsQueueStuck": (
        {'mlflow_ops_queue_oldest_seconds{queue="ops"}': "700x60"},
        {'mlflow_ops_queue_oldest_seconds{queue="ops"}': "500x60"},
        "30m",
    ),
    "MLflowOpsWorkerLost": (
        {'mlflow_ops_workers{queue="ops"}': "0x60"}, {'mlflow_ops_workers{queue="ops"}': "1x60"}, "30m"
    ),
    "MLflowOpsDown": ({OURS: "0x60"}, {OURS: "1x60"}, "30m"),
}  # fmt: skip


def silent(promtool, folder, alert, series, at):
    """Prometheus' verdict on that alert being silent then, with these series."""
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    path = folder / f"{alert}.yaml"
    path.write_text(yaml.safe_dump(test))
    return subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False, timeout=60)


def test_the_rules_are_rules(promtool):
    done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_each_alert_fires_and_stays_quiet(promtool, tmp_path, alert):
    bad, good, at = CASES[alert]
    quiet = silent(promtool, tmp_path, alert, good, at)
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    loud = silent(promtool, tmp_path, alert, bad, at)
    assert loud.returncode != 0, "it stays quiet where it should fire"
    assert alert in loud.stdout + loud.stderr


def test_the_runbooks_first_alert_never_fires(promtool, tmp_path):
    theirs = tmp_path / "theirs.yaml"
    rule = {"alert": "MLFlowPodDown", "expr": 'count(up{job="mlflow"} == 1) < 1', "for": "5m"}
    theirs.write_text(yaml.safe_dump({"groups": [{"name": "mlflow", "rules": [rule]}]}))
    test = tmp_path / "test.yaml"
    never = {"eval_time": "30m", "alertname": "MLFlowPodDown", "exp_alerts": []}
    series = [{"series": UP, "values": "0x60"}]
    body = {
        "rule_files": [str(theirs)],
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": [never]}],
    }
    test.write_text(yaml.safe_dump(body))
    done = subprocess.run([promtool, "test", "rules", test], capture_output=True, text=True, check=False)
    assert done.returncode == 0, "with every pod down it fires after all"
