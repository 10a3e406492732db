"""By what a dump is packed: as ops.yaml says where pg_dump can, and as costs least where it is restored at once."""

from dataclasses import dataclass

import pytest

from workers.operations.backup import database

ALL = {"zstd:1", "lz4:1", "gzip:1", "none"}


@dataclass
class PgDump:
    """A pg_dump of that major version, built with some."""

    major: int
    built_with: set[str]

    def compresses(self, how):
        """Whether it was."""
        return how in self.built_with


@pytest.mark.parametrize(
    ("program", "kept", "passing"),
    [
        (PgDump(18, ALL), "zstd:1", "lz4:1"),
        (PgDump(17, ALL - {"lz4:1"}), "zstd:1", "zstd:1"),
        (PgDump(16, {"gzip:1", "none"}), "gzip:1", "none"),
        (PgDump(15, {"gzip:1", "none"}), "1", "0"),
    ],
)
def test_what_is_restored_at_once_is_never_packed_by_gzip(program, kept, passing):
    assert database.compression(program, "zstd:1") == kept
    assert database.quickest(program) == passing
