"""A program that was started ends, is heard and is judged by its exit code, whatever happens around it."""

import subprocess
import tempfile

import pytest

from workers.operation import Cancelled
from workers.systems.postgres import programs

PIECE = b"x" * 100_000


def test_a_program_that_is_fed_gets_all_of_it():
    with tempfile.TemporaryFile() as file, programs.running(["cat"], fed=True, output=file) as cat:
        assert all(cat.give(PIECE) for _ in range(50))
        assert cat.wait(30) == 0
        file.seek(0)
        assert file.read() == PIECE * 50


def test_one_that_listens_no_more_says_why_and_is_given_no_more():
    words = "head -c 10 > /dev/null; echo 'pg_restore: error: no   dump' >&2; exit 3"
    with programs.running(["sh", "-c", words], fed=True) as program:
        while program.give(PIECE):
            pass
        assert not program.give(PIECE)
        assert program.wait(30) == 3
        assert program.said() == "no dump"


def test_its_output_can_be_read_as_it_comes():
    with programs.running(["sh", "-c", "echo first; exec cat"], fed=True, output=subprocess.PIPE) as program:
        assert program.output.read(6) == b"first\n"
        assert program.wait(30) == 0


def test_it_does_not_outlive_whoever_started_it():
    with pytest.raises(KeyError), programs.running(["sleep", "1000"]) as program:
        raise KeyError
    assert program.process.returncode < 0


def test_one_that_does_not_end_in_time_is_ended():
    with programs.running(["sleep", "1000"]) as program:
        assert program.wait(0.1) < 0


def test_waiting_for_it_can_be_cancelled():
    def cancel():
        raise Cancelled

    with pytest.raises(Cancelled), programs.running(["sleep", "1000"]) as program:
        program.wait(1000, cancel)
    assert program.process.returncode < 0
