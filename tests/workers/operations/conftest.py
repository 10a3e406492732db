"""Whatever test plans an operation and then runs it: each of the plan's steps is one that the run has told of.

And the sandbox's systems, for the tests of several chapters.
"""

import uuid
from pathlib import Path

import boto3
import pytest
import yaml

from workers import registry, settings
from workers.operation import Operation, Progress
from workers.rendering.walk import Walk
from workers.report import Status
from workers.systems import Systems

CONDITIONAL = ("If they don't come up",)
"""Steps that are planned for what may go wrong."""
UNNEEDED = {
    "escalate": ("Look at health",),
    "maintenance-start": ("Pin a notice", "After "),
    "maintenance-end": ("Unpin the notice",),
    "peek": ("Remove both after",),
    "restore-database": ("Scale ",),
    "restore-undo": ("Scale ",),
    "restore-run": ("Copy its artifacts",),
    "restore-experiment": ("Copy its artifacts",),
}
"""What a run need not do: an incident is open, MLflow has no pods, a set no artifacts; or does once it is over."""


class Walking:
    """A progress that keeps the walk, and passes all on."""

    def __init__(self, progress: Progress, walk: Walk):
        self._progress, self._walk = progress, walk

    def step(self, name, of=""):
        self._walk.begin(name, of)
        self._progress.step(name, of)

    def advance(self, done, total, unit):
        self._progress.advance(done, total, unit)

    def ended(self, said="", *, well=True):
        self._walk.ended(said, well=well)
        self._progress.ended(said, well=well)

    def checkpoint(self):
        self._progress.checkpoint()


def _checked(plan, run, planned):
    def plans(self, systems):
        made = plan(self, systems)
        planned[id(self)] = (self, made)
        return made

    def runs(self, systems, progress):
        known = planned.get(id(self))
        if known is None or known[1].instead is not None:
            return run(self, systems, progress)
        walk = Walk(known[1].steps)
        report = run(self, systems, Walking(progress, walk))
        left = [each.name for each in walk.steps() if each.state == "pending"]
        may_be = (*CONDITIONAL, *UNNEEDED.get(self.name, ()))
        if report.status in {Status.OK, Status.WARN}:
            assert not [each for each in left if not each.startswith(may_be)], f"{self.name} did not tell of these"
        elif walk.begun:
            assert "error" in {each.state for each in walk.end(report.summary).steps}
        return report

    return plans, runs


@pytest.fixture(autouse=True)
def steps_are_told(monkeypatch):
    """Each operation's `plan` and `run`, watched."""
    planned = {}
    for each in registry.operations().values():
        if each.plan is not Operation.plan:
            plans, runs = _checked(each.plan, each.run, planned)
            monkeypatch.setattr(each, "plan", plans)
            monkeypatch.setattr(each, "run", runs)


@pytest.fixture
def in_sandbox(sandbox, monkeypatch, tmp_path):
    """Makes the sandbox's systems, with changes to ops.yaml; its backups are this test's own: what others take away
    between two of theirs is a loss that nobody explained.
    """
    aws = {name: value for name, value in sandbox.process_env.items() if name.startswith("AWS_")}
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    bucket = f"backups-{uuid.uuid4().hex[:8]}"
    boto3.session.Session().client("s3", endpoint_url=aws["AWS_ENDPOINT_URL_S3"]).create_bucket(Bucket=bucket)

    def make(**changed):
        ops = yaml.safe_load(Path(sandbox.process_env["MLFLOW_OPS_CONFIG"]).read_text(encoding="utf-8"))
        for section, values in {"storage": {"backups_bucket": bucket}, **changed}.items():
            ops[section] = {**ops.get(section, {}), **values}
        path = tmp_path / "ops.yaml"
        path.write_text(yaml.safe_dump(ops), encoding="utf-8")
        return Systems(settings.load({**sandbox.process_env, "MLFLOW_OPS_CONFIG": str(path)}))

    return make
