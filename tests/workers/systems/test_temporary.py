"""Temporary folders go with their processes: by a lock and by age, never by a pid."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from workers.systems import temporary

HOLDS = """
import os, sys, time
from workers.systems import temporary
with temporary.folder("test") as folder:
    (folder / "dump").write_bytes(b"x" * 1000)
    if "fork" in sys.argv:
        # As a program that is started meanwhile.
        import subprocess
        subprocess.Popen(["sleep", "1000"])
    print(folder, flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def owner(place, request):
    told = getattr(request, "param", ())
    command = [sys.executable, "-c", HOLDS, *told]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        yield process, place / process.stdout.readline().strip().rpartition("/")[2]
        with suppress(ProcessLookupError):  # a test may have killed it, and nothing else is in its group
            os.killpg(process.pid, signal.SIGKILL)


def later():
    return time.time() + temporary.YOUNG_SECONDS + 1


def test_while_its_process_lives_a_folder_stays_however_old(owner):
    _, folder = owner
    assert temporary.sweep(now=lambda: time.time() + 10 * 86_400) == 0
    assert (folder / "dump").exists()


@pytest.mark.parametrize("owner", [(), ("fork",)], indirect=True)
def test_once_its_process_was_killed_the_next_one_removes_it(owner):
    process, folder = owner
    process.kill()
    process.wait()
    assert temporary.sweep() == 0
    assert temporary.sweep(now=later) == 1
    assert not folder.exists()


def test_a_process_of_the_same_pid_in_a_new_container_keeps_nothing_alive(place):
    """The pid in its name, as folders had it, is that of a process that runs: this one."""
    left = place / f"{temporary.PREFIX}restore-{os.getpid()}-x"
    left.mkdir()
    (left / temporary.LOCK).touch()
    assert temporary.sweep(now=later) == 1


def test_one_that_is_just_being_made_is_left_alone(place):
    (place / f"{temporary.PREFIX}restore-x").mkdir()
    assert temporary.sweep() == 0


def test_it_is_gone_afterwards_also_where_something_was_raised(place):
    def fails():
        with temporary.folder("test") as folder:
            assert temporary.is_taken(folder)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert list(place.iterdir()) == []
