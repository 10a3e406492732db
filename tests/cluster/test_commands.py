"""The product's commands against a whole cluster. What a test makes it takes away again, also where it fails."""

import uuid

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def figure(report, name):
    """The value that a report tells under that name."""
    return next(
        value for section in report["sections"] for key, value in section.get("items", {}).items() if key == name
    )


def test_health_asks_every_system(typed):
    report = typed("health pods deployment service postgres storage mlflow --deadline 30")  # however busy the machine
    assert {check["name"] for check in report["checks"]} == {
        "pods", "deployment", "service", "postgres", "storage", "mlflow",
    }  # fmt: skip
    assert not [check for check in report["checks"] if check["status"] in {"fail", "unknown"}]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    ["rollout status", "history", "config show", "experiments list", "models list", "backup list", "backup usage"],
)
def test_what_only_looks(typed, words):
    assert typed(words)["status"] in {"ok", "warn"}


@pytest.mark.slow
@pytest.mark.parametrize("words", ["restart --dry-run", "resources --cpu :2 --dry-run", "backup --dry-run"])
def test_what_would_be_done_is_told_and_not_done(typed, words):
    before = figure(typed("rollout status"), "revision")
    assert typed(words)["status"] in {"ok", "warn"}
    assert figure(typed("rollout status"), "revision") == before


@pytest.mark.slow
def test_an_experiment_from_its_beginning_to_its_end(typed):
    name = f"mlflow-ops-test-{uuid.uuid4().hex[:8]}"
    typed(f"experiments create {name}", change=True)
    try:
        typed(f"experiments rename {name} {name}-renamed", change=True)
        typed(f"experiments show {name}-renamed")
    finally:
        typed(f"experiments delete {name}-renamed", change=True)
    assert name not in str(typed("experiments list"))


@pytest.mark.slow
def test_one_pod_more_and_back(typed):
    replicas = int(figure(typed("rollout status"), "replicas"))
    typed(f"scale {replicas + 1}", change=True)
    try:
        assert figure(typed("rollout status"), "available") == str(replicas + 1)
    finally:
        typed(f"scale {replicas}", change=True)
    assert figure(typed("rollout status"), "replicas") == str(replicas)


@pytest.mark.slow
def test_a_restart_replaces_the_pods(typed):
    before = figure(typed("rollout status"), "revision")
    typed("restart", change=True)
    assert figure(typed("rollout status"), "revision") != before


@pytest.mark.slow
def test_a_backup_is_made_and_is_good(typed):
    typed("backup", change=True)
    assert typed("backup verify latest --deep")["status"] == "ok"
    assert typed("backup show latest")["status"] == "ok"


def test_what_is_not_there_is_a_sentence(typed):
    said = typed("experiments show there-is-no-such-experiment", fails=True)["said"]
    assert "Traceback" not in said
    assert "there-is-no-such-experiment" in said
