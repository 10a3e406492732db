"""The plans over very many runs: 2,000 experiments with 300,000 runs, as a company has them after some years.

MLFLOW_OPS_BENCH_RUNS is how many runs. Half of them began more than 90 days ago. A plan must come within ten seconds.
"""

import os
import time

import psycopg
import pytest

from commands import grammar
from workers import settings
from workers.operation import planned_with
from workers.operations.backup.backup import Backup
from workers.operations.runs.archive import TAG
from workers.systems import Systems

RUNS = int(os.environ.get("MLFLOW_OPS_BENCH_RUNS", "300000"))
EXPERIMENTS = 2000
WITHIN_SECONDS = 10
DAY_MS = 86_400_000
MARK = "260826-3fa0c1"
FILL = (
    """
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
SELECT 100000 + n, 'bench-' || n, 'mlflow-artifacts:/' || (100000 + n), 'active', %(now)s, %(now)s + n
FROM generate_series(1, %(experiments)s) n
""",
    """
INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, deleted_time,
                  artifact_uri, experiment_id)
SELECT md5('bench' || n), 'run-' || n, 'LOCAL', 'tests', 'FINISHED', %(now)s - (n %% 180) * %(day)s::bigint,
       %(now)s - (n %% 180) * %(day)s::bigint + 60000, CASE WHEN n %% 10 = 0 THEN 'deleted' ELSE 'active' END,
       CASE WHEN n %% 10 = 0 THEN %(now)s - 40 * %(day)s::bigint END,
       'mlflow-artifacts:/x', 100001 + n %% %(experiments)s
FROM generate_series(1, %(runs)s) n
""",
    """
INSERT INTO tags (key, value, run_uuid)
SELECT 'mlflow.user', 'tests', md5('bench' || n) FROM generate_series(1, %(runs)s) n
""",
    """
INSERT INTO tags (key, value, run_uuid)
SELECT %(tag)s, %(mark)s, md5('bench' || n) FROM generate_series(10, %(runs)s, 10) n
""",
    "ANALYZE",
)


class Told:
    """A progress that remembers when it was told something."""

    def __init__(self):
        self.began = time.perf_counter()
        self.said = []

    def step(self, name, of=""):
        self.said.append((time.perf_counter() - self.began, name))

    def advance(self, done, total, unit):
        self.said.append((time.perf_counter() - self.began, f"{done} {unit}"))

    def ended(self, said="", *, well=True):
        pass

    def checkpoint(self):
        pass


@pytest.fixture(scope="module")
def systems(start_sandbox_once, tmp_path_factory):
    """A sandbox of its own that is filled."""
    folder = tmp_path_factory.mktemp("plans")
    folder.chmod(0o711)
    folder.parent.chmod(0o711)
    without = ("slack", "bot", "scheduler", "worker-quick", "worker-ops")
    sandbox = start_sandbox_once(folder / "sandbox", *(word for part in without for word in ("--without", part)))
    patch = pytest.MonkeyPatch()
    for name, value in sandbox.process_env.items():
        if name.startswith("AWS_"):
            patch.setenv(name, value)
    found = Systems(settings.load(sandbox.process_env))
    now = int(time.time() * 1000)
    values = {"now": now, "day": DAY_MS, "experiments": EXPERIMENTS, "runs": RUNS, "tag": TAG, "mark": MARK}
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement, values if "%(" in statement else None)
    Backup(parts=("database", "artifacts")).run(found, Told())
    yield found
    patch.undo()


@pytest.mark.bench
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "line",
    [
        "runs archive --older-than 90d",
        "runs archive --older-than 90d --except-tag mlflow.user=nobody --status FINISHED",
        "runs purge --older-than 30d",
        f"runs unarchive {MARK}",
    ],
)
def test_a_plan_comes_within_seconds(systems, say, line):
    told = Told()
    with planned_with(told):
        plan = grammar.parse(line).plan(systems)
    took = time.perf_counter() - told.began
    say(f"{line}: {plan.summary}, planned in {took:.1f} s; first word after {told.said[0][0]:.2f} s")
    assert took < WITHIN_SECONDS
    assert told.said[0][0] < 1
    assert int(str(plan.facts["runs"])) > RUNS // 20
