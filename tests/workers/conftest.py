"""Runs by the thousand in the sandbox's MLflow, written where MLflow keeps them; and a cluster without the rest."""

import time
import uuid

import psycopg
import pytest
import yaml

from commands import grammar
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import healthy_upstream, running_cluster
from mlflow_ops_sandbox.cluster.wiring import wiring_from
from workers import settings
from workers.engine import performing
from workers.operation import Unwatched
from workers.systems import Systems

DAY_MS = 24 * 3600 * 1000

RUNS = """
INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri,
                  experiment_id)
SELECT md5(%(seed)s || n), 'run-' || n, 'LOCAL', 'tests', %(status)s, %(start)s + n, %(start)s + n + 60000, 'active',
       '', %(experiment)s
FROM generate_series(1, %(number)s) n
"""
METRICS = """
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT key, (n %% 997) / 997.0, 0, 0, false, md5(%(seed)s || n)
FROM generate_series(1, %(number)s) n, unnest(%(keys)s::text[]) key
"""
PARAMETERS = """
INSERT INTO params (key, value, run_uuid)
SELECT key, (n %% 7)::text, md5(%(seed)s || n) FROM generate_series(1, %(number)s) n, unnest(%(keys)s::text[]) key
"""
OF_RUNS = ("metrics", "latest_metrics", "params", "tags", "runs")
WRITTEN = "run_uuid IN (SELECT run_uuid FROM runs WHERE user_id = 'tests' AND experiment_id = ANY(%s))"


@pytest.fixture(scope="module")
def mlflow(sandbox):
    """The sandbox's systems."""
    return Systems(settings.load(sandbox.process_env))


@pytest.fixture
def do(mlflow):
    """Carries out a command as a terminal would."""
    return lambda words: performing.perform_here(grammar.parse(words), words, "olga", mlflow, Unwatched())


@pytest.fixture
def experiment(mlflow):
    """An experiment of its own: (id, name). It is deleted afterwards."""
    name = f"tests-{uuid.uuid4().hex[:8]}"
    made = mlflow.tracking.call("experiments/create", {"name": name})["experiment_id"]
    yield made, name
    mlflow.tracking.within(60).call("experiments/delete", {"experiment_id": made})


@pytest.fixture
def many_runs(sandbox):
    """Writes so many runs into an experiment; their ids. They go with the test: MLflow deletes runs one by one."""
    written = set()

    def write(experiment, number, *, days_old=100, status="FINISHED", metrics=(), params=()):
        seed = uuid.uuid4().hex
        values = {
            "seed": seed,
            "number": number,
            "status": status,
            "start": int(time.time() * 1000) - days_old * DAY_MS,
            "experiment": int(experiment),
        }
        written.add(int(experiment))
        with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
            connection.execute(RUNS, values)
            connection.execute(METRICS, {"seed": seed, "number": number, "keys": list(metrics)})
            connection.execute(PARAMETERS, {"seed": seed, "number": number, "keys": list(params)})
            rows = connection.execute(
                "SELECT run_uuid FROM runs WHERE experiment_id = %s AND user_id = 'tests'", (int(experiment),)
            ).fetchall()
        return {row[0] for row in rows}

    yield write
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        for table in OF_RUNS:
            connection.execute(f"DELETE FROM {table} WHERE {WRITTEN}", (list(written),))


@pytest.fixture
def log_run(mlflow):
    """Makes one run through MLflow's API; its id."""

    def log(experiment, name="one", *, metrics=(), params=(), tags=(), status="FINISHED", days_old=1):
        start = int(time.time() * 1000) - days_old * DAY_MS
        body = {"experiment_id": experiment, "run_name": name, "start_time": start}
        run = mlflow.tracking.call("runs/create", body)["run"]["info"]["run_id"]
        batch = {
            "metrics": [{"key": k, "value": v, "timestamp": start, "step": 0} for k, v in dict(metrics).items()],
            "params": [{"key": k, "value": v} for k, v in dict(params).items()],
            "tags": [{"key": k, "value": v} for k, v in dict(tags).items()],
        }
        mlflow.tracking.call("runs/log-batch", {"run_id": run, **batch})
        if status != "RUNNING":
            mlflow.tracking.call("runs/update", {"run_id": run, "status": status, "end_time": start + 90_000})
        return run

    return log


@pytest.fixture(scope="module")
def upstream():
    """The address of something that answers health checks as MLflow does."""
    with healthy_upstream() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def running(tmp_path_factory, upstream):
    secrets = {"mlflow-backend-secret": {"PASSWORD": "correct-horse"}}
    wiring = wiring_from({"mlflow": {"upstream": upstream}, "secrets": secrets})
    with running_cluster(Options(tmp_path_factory.mktemp("cluster") / "data", wiring)) as running:
        yield running


@pytest.fixture
def make(running, tmp_path):
    """Systems for the workers' own account (or the administrator's), with what is changed in ops.yaml."""

    def make(account="kubeconfig-worker", **ops):
        path = tmp_path / "ops.yaml"
        path.write_text(yaml.safe_dump(ops))
        kubeconfig = str(running.kubeconfig.with_name(account))
        return Systems(settings.load({"KUBECONFIG": kubeconfig, "MLFLOW_OPS_CONFIG": str(path)}))

    return make
