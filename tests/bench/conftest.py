"""Benchmarks print what they measured; their claims are ratios within one run, and stand in one table at its end.

MLFLOW_OPS_BENCHMARKS=docs/benchmarks.md makes that document of them.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

HEADS = ("What", "Takes", "By the other way", "Times as fast", "At least")
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
        Path(target).write_text(text + "\n".join(lines) + "\n", encoding="utf-8")
