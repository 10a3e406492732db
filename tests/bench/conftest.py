"""Benchmarks print what they measured; their claims are ratios within one run, and stand in one table at its end.

MLFLOW_OPS_BENCHMARKS=docs/benchmarks.md makes that document of them.
"""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench.stores import LIGHT, ROOT, Store

HEADS = ("What", "Takes", "By the other way", "Times as fast", "At least")
WHOLE = """## Health

The aim is 8 times the runbook's script. It was 6.4 times once, and 4.2 times (175 against 735 ms)
when last measured, with nothing beside it, on a day on which the same machine took 18 ms for a search that it had
taken 7 ms for. The report is as long as its longest check, MLflow's: searches, a run, a metric's
history and a model's version, three at a time, whose times are the p95 that is told. The ten others
are done by then. What remains is MLflow's own time for six answers, which one process of it gives
one after the other, on the two cores that also run our process (80 ms of CPU), the store and the
API server. As a whole command in a terminal it takes 2.5 s, three times as long as the script: Python
and the clients of Kubernetes, S3, Redis and PostgreSQL are loaded first. In Slack a worker has them.

## Whole commands

`mlflow-ops run "backup artifacts"` with encryption on, started anew each time as a person would,
against `aws s3 sync` and `rclone sync`, which let the store copy within itself and encrypt nothing,
and against `rclone sync` into a `crypt` remote, which reads and encrypts each object as ours does.
The aim is 1.5 times the faster for a first copy, 2 times if nothing is new, 1.5 times for the
database.

On moto, a store in Python, a first copy is 1.4 times as fast as the quicker of both, and twice as fast as what
encrypts too; the others do not reach the aim, and on rclone's own server rclone is quicker. The reasons:

- To start Python with all that a backup needs is two thirds of the CPU time of a backup of 2,000
  objects with nothing new, and one core does it; rclone, a compiled program, starts at once. A
  backup by the clock or from Slack runs in a worker that has started already.
- An object that is encrypted here must be read (GET), where a copy within the store is one call and
  no byte on the way. Small ones are written together in bundles, so it is one call for one call;
  but Python makes one call at a time and Go several. Several workers share a large first copy
  (`backup.helpers`).
- The store runs on the same two cores.

## Back to any second

A base backup is held against `pg_basebackup -Ft -z | aws s3 cp -`, a moment half an hour after a base
against an ordinary restore, what is stored of a quiet database against the WAL that it wrote, and
MLflow's p95 while a base is read at its pace against that without one.
"""
_rows: list[tuple[str, ...]] = []


@pytest.fixture
def say(capsys):
    """Print a line of a benchmark's table past pytest's capture."""

    def line(text):
        with capsys.disabled():
            sys.stdout.write(f"{text}\n")

    return line


@pytest.fixture
def ratio():
    """Hold a claim: what others need `theirs` seconds for, ours does in a `bar`-th of that, or faster."""

    def hold(what, *, ours, theirs, bar):
        _rows.append((what, _seconds(ours), _seconds(theirs), f"{theirs / ours:.1f}", f"{bar:g}"))
        assert theirs / ours >= bar, f"{what}: {_seconds(ours)} against {_seconds(theirs)}"

    return hold


def _seconds(value):
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def pytest_terminal_summary(terminalreporter):
    """The table of all claims; also as a document where one is wanted."""
    if not _rows:
        return
    lines = [f"| {' | '.join(row)} |" for row in (HEADS, ["---"] * len(HEADS), *_rows)]
    terminalreporter.section("benchmarks")
    terminalreporter.write_line("\n".join(lines))
    if target := os.environ.get("MLFLOW_OPS_BENCHMARKS"):
        text = (
            "# Benchmarks\n\n"
            "Each against the way that a person would go otherwise (the runbook's script, `aws s3 sync`, `pg_dump`\n"
            "into the AWS CLI, a loop over MLflow's client), in one run on one machine. A test fails below the last\n"
            "column.\n\n"
            f"Measured on {datetime.now(UTC):%d %B %Y}, {len(os.sched_getaffinity(0))} cores. Made by\n"
            "`MLFLOW_OPS_BENCHMARKS=docs/benchmarks.md pytest -m bench`.\n\n"
        )
        Path(target).write_text(text + "\n".join(lines) + f"\n\n{WHOLE}", encoding="utf-8")


@pytest.fixture(scope="session")
def aws(tmp_path_factory):
    """The AWS CLI, in an environment of its own."""
    folder = tmp_path_factory.mktemp("aws")
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True, timeout=60)
        pip = [folder / "bin" / "pip", "install", "--quiet", "awscli"]
        subprocess.run(pip, check=True, capture_output=True, timeout=150)
    except (subprocess.SubprocessError, OSError):
        found = shutil.which("aws")
        if found is None:
            pytest.skip("the AWS CLI is not on PATH and cannot be installed: nothing to compare with")
        return found
    return str(folder / "bin" / "aws")


@pytest.fixture
def own_credentials(monkeypatch, tmp_path):
    """Credentials and nothing of the machine's own, for us and for the CLI."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDSANDBOX",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "PYTHONPATH": str(ROOT),
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def light(own_credentials, free_port):
    store = Store([sys.executable, LIGHT, str(free_port)], free_port)
    yield store
    store.stop()
