"""What a process holds stays in it: no core dump, no traceback with the values of variables."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

PROCESSES = (("worker", "--queue", "quick"), ("worker", "--queue", "ops"), ("scheduler",), ("bot",))


def core_limit(pid):
    (line,) = [each for each in Path(f"/proc/{pid}/limits").read_text().splitlines() if each.startswith("Max core")]
    return line.split()[4:6]


@pytest.mark.slow
@pytest.mark.parametrize("words", PROCESSES, ids=" ".join)
def test_no_process_writes_a_core_dump(words, local_slack, environment, started):
    with local_slack() as slack, started(*words, env=environment(slack)) as process:
        family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        assert {tuple(core_limit(pid)) for pid in family} == {("0", "0")}


def test_what_it_starts_has_the_limit_from_it():
    """Of every command of ours, and so of pg_dump and git."""
    script = "import subprocess, sys\nfrom bot.process.cli import main\n"
    script += "try:\n    main(['man'])\nexcept SystemExit:\n    pass\n"
    script += "sys.stdout.flush()\nsubprocess.run(['bash', '-c', 'ulimit -c; ulimit -Hc'])\n"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert said.stdout.split()[-2:] == ["0", "0"]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_shows_lines_and_no_values(log_format):
    script = f"""
import logging
from workers.logging import configure
configure({log_format!r})
def connect():
    held = "zq7" + "hunter2"
    raise ValueError("no")
try:
    connect()
except ValueError:
    logging.getLogger("x").exception("failed")
connect()
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=os.environ)
    assert "ValueError: no" in said.stderr
    assert "zq7hunter2" not in said.stderr
