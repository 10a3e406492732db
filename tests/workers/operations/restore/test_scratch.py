"""Room for a dump: what the disk has left and what the pod may take are two things, and the lesser counts."""

import shutil
import tempfile
from types import SimpleNamespace

import pytest

from workers.operations.restore import scratch

MIB = 1024 * 1024


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, with 5 MiB of others' in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_bytes(b"x" * 5 * MIB)
    (other / "nowhere").symlink_to(tmp_path / "missing")
    return tmp_path


@pytest.mark.parametrize(
    ("left", "allowed", "least", "most"),
    [
        (100 * MIB, None, 100 * MIB, 100 * MIB),
        (100 * MIB, 1024 * MIB, 100 * MIB, 100 * MIB),
        (100 * MIB, 20 * MIB, 14 * MIB, 15 * MIB),
        (100 * MIB, 4 * MIB, 0, 0),
        (0, 20 * MIB, 0, 0),
    ],
)
def test_the_lesser_counts_less_what_is_there(temporary, monkeypatch, left, allowed, least, most):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=left))
    assert least <= scratch.free(temporary, allowed) <= most


def test_a_file_with_holes_takes_what_it_takes(temporary):
    before = scratch.free(temporary, 100 * MIB)
    with (temporary / "sparse").open("wb") as file:
        file.truncate(90 * MIB)
    assert scratch.free(temporary, 100 * MIB) > before - MIB
