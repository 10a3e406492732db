"""The whole sandbox: what it holds, and that the usual programs work against it with nothing but its environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from mlflow_ops_sandbox.parts import composition
from mlflow_ops_sandbox.parts.folder import Folder, read_json
from mlflow_ops_sandbox.parts.mlflow import samples
from mlflow_ops_sandbox.parts.s3 import objects

if TYPE_CHECKING:
    from mlflow_ops_sandbox.testing import Sandbox, StartSandbox

NAMES = {
    "KUBECONFIG",
    "SLACK_API_URL",
    "SLACK_BOT_TOKEN",
    "SLACK_APP_TOKEN",
    "SLACK_SIGNING_SECRET",
    "REDIS_URL",
    "MLFLOW_TRACKING_URI",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "MLFLOW_S3_ENDPOINT_URL",
    "MLFLOW_OPS_DATABASE_URL",
    "MLFLOW_OPS_DATABASE_ADMIN_URL",
    "MLFLOW_OPS_BACKUP_KEY",
    "MLFLOW_OPS_POSTGRES_BIN",
    "MLFLOW_OPS_CONFIG",
    "MLFLOW_OPS_ALERTMANAGER_URL",
    "MLFLOW_OPS_ALERTS_SECRET",
    "MLFLOW_OPS_SANDBOX_ALERTS",
    "MLFLOW_OPS_SANDBOX_PAGE",
    "MLFLOW_OPS_SANDBOX_KUBERNETES_CONTROL",
}


def ask(address: str, method: str, body: dict[str, Any] | None = None, **query: str) -> Any:
    words = "&".join(f"{name}={value}" for name, value in query.items())
    request = urllib.request.Request(
        f"{address}/api/2.0/{method}?{words}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
        content = answer.read()
    return json.loads(content) if answer.headers["Content-Type"].startswith("application/json") else content


def all_runs(address: str) -> list[dict[str, Any]]:
    experiments = ask(address, "mlflow/experiments/search", max_results="100", view_type="ALL")["experiments"]
    body = {
        "experiment_ids": [item["experiment_id"] for item in experiments],
        "max_results": 1000,
        "run_view_type": "ALL",
    }
    return ask(address, "mlflow/runs/search", body)["runs"]


def program(sandbox: Sandbox, *words: str) -> str:
    if shutil.which(words[0]) is None and not Path(words[0]).exists():
        pytest.skip(f"{words[0]} is not installed")
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=sandbox.process_env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_environment_has_the_names_that_are_promised(sandbox: Sandbox) -> None:
    assert set(sandbox.env) == NAMES
    assert all(sandbox.env.values())
    assert sandbox.env["SLACK_API_URL"] == f"{sandbox.slack_url}/api/"


def test_every_part_is_ready_and_the_supervisor_said_so(sandbox: Sandbox) -> None:
    state = read_json(Folder(sandbox.path).state)
    assert {part["state"] for part in state["parts"].values()} == {"ready"}
    for name in (*state["parts"], "seed"):
        assert f"\n  {name:<13} " in sandbox.said()
    assert f"Slack: {sandbox.slack_url}/" in sandbox.said()
    assert "\x1b" not in sandbox.said()


def test_mlflow_holds_what_the_samples_say(sandbox: Sandbox) -> None:
    address = sandbox.env["MLFLOW_TRACKING_URI"]
    wanted = {
        run.name: run
        for experiment in samples.experiments(samples.NUMBER, Folder(sandbox.path).made_at)
        for run in experiment.runs
    }
    found = {run["info"]["run_name"]: run for run in all_runs(address) if run["info"]["run_name"] in wanted}
    assert set(found) == set(wanted)
    for name, run in found.items():
        assert run["info"]["start_time"] == wanted[name].start
        assert run["info"]["status"] == wanted[name].status
        assert {item["key"]: item["value"] for item in run["data"]["params"]} == wanted[name].params
    deleted = {name for name, run in found.items() if run["info"]["lifecycle_stage"] == "deleted"}
    assert "emissions-anomaly-01" in deleted
    model = ask(address, "mlflow/registered-models/get", name=samples.MODEL)["registered_model"]
    assert model["aliases"] == [{"alias": "champion", "version": "2"}]
    versions = ask(address, "mlflow/model-versions/search", filter=f"name='{samples.MODEL}'".replace("'", "%27"))
    assert len(versions["model_versions"]) == 2


def test_artifacts_come_through_the_server_and_lie_in_the_store(sandbox: Sandbox) -> None:
    address = sandbox.env["MLFLOW_TRACKING_URI"]
    run = next(run for run in all_runs(address) if run["info"]["run_name"] == samples.MODEL_RUNS[0])
    experiment, number = run["info"]["experiment_id"], run["info"]["run_id"]
    listed = ask(address, "mlflow/artifacts/list", run_id=number, path="evaluation")["files"]
    assert {item["path"] for item in listed} == {"evaluation/summary.json", "evaluation/plots"}
    path = f"{experiment}/{number}/artifacts/evaluation/plots/loss.png"
    assert ask(address, f"mlflow-artifacts/artifacts/{path}").startswith(b"\x89PNG")
    assert path in program(sandbox, "aws", "s3", "ls", "--recursive", f"s3://{objects.ARTIFACTS}/{experiment}/")


def test_kubectl_sees_the_namespace(sandbox: Sandbox) -> None:
    assert "mlflow" in program(sandbox, "kubectl", "get", "pods", "-n", "data-platform")
    assert "Uvicorn running" in program(
        sandbox, "kubectl", "logs", "-n", "data-platform", "-l", "app=mlflow", "--tail=-1"
    )


def test_psql_counts_the_runs(sandbox: Sandbox) -> None:
    said = program(sandbox, "psql", sandbox.env["MLFLOW_OPS_DATABASE_URL"], "-Atc", "SELECT count(*) FROM runs")
    assert int(said) >= 63


def test_the_mlflow_program_lists_experiments(sandbox: Sandbox) -> None:
    assert "load-forecast-eu" in program(sandbox, sys.executable, "-m", "mlflow", "experiments", "search")


def test_a_worker_finds_programs_that_fit_the_server(sandbox: Sandbox) -> None:
    path = sandbox.process("worker-ops").environ()["PATH"]
    dump = shutil.which("pg_dump", path=path)
    assert dump is not None
    version = subprocess.run([dump, "--version"], capture_output=True, text=True, check=True).stdout
    assert "(PostgreSQL) 18." in version


def test_the_running_bot_holds_no_secret_but_slacks_and_redis(sandbox: Sandbox) -> None:
    secrets = read_json(sandbox.path / "secrets.json")
    held = " ".join(sandbox.process("bot").environ().values())
    # The last one is what others show to the bot; it opens nothing else.
    allowed = {"redis", "slack_bot_token", "slack_app_token", "slack_signing_secret", "alerts_secret"}
    assert {name for name, secret in secrets.items() if secret in held} == allowed


def test_a_paused_part_does_not_answer_until_it_goes_on(sandbox: Sandbox) -> None:
    address = sandbox.env["MLFLOW_OPS_DATABASE_URL"]
    sandbox.pause("postgres")
    try:
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(address, connect_timeout=2)
    finally:
        sandbox.resume("postgres")
    psycopg.connect(address, connect_timeout=5).close()


@pytest.mark.parametrize("part", ["bot", "worker-quick", "mlflow"])
def test_a_part_that_is_killed_comes_back(part: str, sandbox: Sandbox) -> None:
    sandbox.restart(part)
    assert sandbox.supervisor.poll() is None
    if part == "mlflow":
        assert len(all_runs(f"http://127.0.0.1:{read_json(Folder(sandbox.path).state)['ports']['mlflow']}")) >= 63


def test_mlflow_whose_parent_alone_was_killed_comes_back_on_its_port(sandbox: Sandbox) -> None:
    before = sandbox.process("mlflow")
    server = before.children(recursive=True)
    before.kill()
    sandbox.wait_until_ready("mlflow", other_than=before)
    assert not [process for process in server if process.is_running()]


def test_the_cluster_takes_orders_and_forgets_them(sandbox: Sandbox) -> None:
    assert sandbox.kubernetes_control({"metrics": "absent"})["metrics"] == "absent"
    assert sandbox.kubernetes_control({"clear": True})["metrics"] == "present"


def test_a_second_start_seeds_nothing_and_loses_nothing(tmp_path: Path, start_sandbox: StartSandbox) -> None:
    data = tmp_path / "data"
    without = ("slack", "kubernetes", "bot", "scheduler", "worker-quick", "worker-ops", "redis")
    words = tuple(word for name in without for word in ("--without", name))
    first = start_sandbox(data, *words)
    address = f"http://127.0.0.1:{read_json(Folder(data).state)['ports']['mlflow']}"
    runs = all_runs(address)
    ask(address, "mlflow/experiments/create", {"name": "made-by-hand"})
    first.stop()

    second = start_sandbox(data, *words)
    assert "what MLflow holds is kept as it was" in second.said()
    assert all_runs(address) == runs
    names = [item["name"] for item in ask(address, "mlflow/experiments/search", max_results="100")["experiments"]]
    assert "made-by-hand" in names
    run = next(run for run in runs if run["info"]["run_name"] == samples.MODEL_RUNS[0])
    path = f"{run['info']['experiment_id']}/{run['info']['run_id']}/artifacts/model/data/weights.bin"
    assert len(ask(address, f"mlflow-artifacts/artifacts/{path}")) == 4096


def test_each_port_belongs_to_the_part_of_its_name(sandbox: Sandbox) -> None:
    ports = read_json(Folder(sandbox.path).state)["ports"]
    assert set(ports) == set(composition.PORTS)
