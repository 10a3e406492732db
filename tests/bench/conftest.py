"""Benchmarks print what they measured; their claims are ratios within one run."""

import sys

import pytest


@pytest.fixture
def say(capsys):
    """Print a line of a benchmark's table past pytest's capture."""

    def line(text):
        with capsys.disabled():
            sys.stdout.write(f"{text}\n")

    return line
