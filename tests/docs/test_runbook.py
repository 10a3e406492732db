"""docs/runbook.md: each command is run on the sandbox, and each that is not there yet is marked.

What only reads is run; what changes a run or an experiment of the test's own is done; of every other change the plan is
made, as `--dry-run` does it. Names that stand for something in the table are those of something that is there.
"""

import re
import time
import uuid

import pytest

from commands import grammar
from workers import settings
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Risk, Unwatched
from workers.operations.backup.backup import Backup
from workers.operations.commands.dry_run import DryRun
from workers.rendering import dry_run, message
from workers.systems import Systems

pytestmark = pytest.mark.slow

CHAPTERS = {
    "Daily operations", "Common tasks", "Backup", "Recovery", "Scaling", "Maintenance", "Disaster recovery",
    "Monitoring", "Escalation", "Reference",
}  # fmt: skip

OWN = ("experiments create ", "runs tag ", "runs param ")
"""What is really done: it is to things of the test's own."""

NOTHING_TO_DO = {
    "alerts list": "refuses connections",
    "alerts silence 3f2a9c01de --for 2h": "3f2a9c01de|refuses connections",
    "incident show": "There is no open incident",
    "incident note the disk is full": "There is no open incident",
    "incident close the disk was full": "There is no open incident",
    "maintenance end": "There is no maintenance",
    "recover": "Nothing of MLflow is missing",
    "restore artifacts latest": "are as the backup",
    "restore config latest": "are as the backup holds them",
    "rollback": "There is no other revision",
    "runs purge --older-than 30d --dry-run": "There is no run to purge",
}
"""What a sandbox that is well answers to a change that needs something amiss first."""


def parses(words):
    try:
        return not isinstance(grammar.parse(words), grammar.Help)
    except grammar.UsageError:
        return False


def typed_in(said):
    return re.findall(r"`/mlflow ([^`]+)`", said)


def test_each_command_parses_and_what_is_not_there_yet_does_not(documents):
    table = documents.rows("runbook.md", 3)
    wrong = []
    for _, procedure, said in table:
        typed = typed_in(said)
        assert typed or said.startswith("by hand: "), procedure
        wrong += [words for words in typed if parses(words) is said.endswith("not yet")]
    assert wrong == [], "correct the words, or the mark “not yet”"
    assert {chapter for chapter, _, _ in table} == CHAPTERS
    assert len(table) > 40


def test_a_command_that_does_not_exist_would_be_seen():
    assert not parses("restor database")
    assert not parses("health nonsense")


@pytest.fixture
def systems(sandbox, monkeypatch):
    for name, value in sandbox.process_env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return Systems(settings.load(sandbox.process_env))


@pytest.fixture
def meant(systems):
    """What the names in the table stand for: an experiment with two runs, an archived run, a pod."""
    unique = uuid.uuid4().hex[:8]
    old = int((time.time() - 100 * 86400) * 1000)

    def run(experiment):
        body = {"experiment_id": experiment, "run_name": "old", "start_time": old}
        made = systems.tracking.call("runs/create", body)["run"]["info"]["run_id"]
        systems.tracking.call("runs/log-metric", {"run_id": made, "key": "f1", "value": 0.5, "timestamp": old})
        systems.tracking.call("runs/update", {"run_id": made, "status": "FINISHED", "end_time": old + 1000})
        return made

    def experiment(name):
        return systems.tracking.call("experiments/create", {"name": name})["experiment_id"]

    mine, others = experiment(f"mine-{unique}"), experiment(f"others-{unique}")
    first, _ = run(mine), run(mine)
    run(others)
    archived = perform(systems, f"runs archive --older-than 90d --experiment others-{unique}", really=True)
    (pod, *_) = systems.cluster.pods(systems.settings.ops.kubernetes.selector)
    yield {
        "new_experiment": f"new-{unique}",
        "my_experiment": f"mine-{unique}",
        "0a1b2c3d": first[:8],
        "260826-3fa0c1": archived.undo.split()[-1],
        "x7k2p": pod["metadata"]["name"].rpartition("-")[2],
    }
    for name in (f"mine-{unique}", f"others-{unique}", f"new-{unique}"):
        perform(systems, f"experiments delete {name}", really=True)


def perform(systems, words, *, really=False):
    """What came of a command."""
    operation = grammar.parse(words)
    if operation.risk is Risk.READ or isinstance(operation, DryRun):
        return performing.perform(operation, systems, Unwatched())
    if really:
        return performing.perform_here(operation, words, "olga", systems, Unwatched())
    return dry_run.report(operation.plan(systems))


def test_each_command_is_run(documents, systems, meant):
    Backup().run(systems, Unwatched())
    typed = [words for *_, said in documents.rows("runbook.md", 3) if "not yet" not in said for words in typed_in(said)]
    wrong = []
    for written in typed:
        words = written
        for placeholder, real in meant.items():
            words = words.replace(placeholder, real)
        try:
            report = perform(systems, words, really=words.startswith(OWN))
        except OperatorError as refused:
            if not re.search(NOTHING_TO_DO.get(written, "(?!)"), refused.message):
                wrong.append(f"{words}: {refused}")
        else:
            assert report.summary
            assert message.root(report, words, "U0VERA").blocks
    assert wrong == []
    assert len(typed) > 50
