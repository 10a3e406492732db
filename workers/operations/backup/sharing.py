"""How a dump is shared out: its largest tables' rows apart from all else, in as many streams as are of use.

Each stream is a pg_dump of its own on the same exported snapshot, so all of them hold one moment. The first has the
definitions of everything and the rows of what is small; the others have rows only. They begin together, so that each
has its locks before anybody can change a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.systems.postgres.snapshot import TableName

BYTES_A_STREAM: Final = 256 << 20
"""Below, a stream more costs more than it saves: another session, and another program."""
STREAMS: Final = 4
"""At most, if ops.yaml doesn't say how many."""
_SMALL: Final = 8
"""A table is small if it is less than an eighth of what a stream has."""


def streams(size_bytes: int, wanted: int | None) -> int:
    """How many streams dump a database of that size. wanted: by ops.yaml (backup.dump_jobs)."""
    return wanted or max(1, min(STREAMS, size_bytes // BYTES_A_STREAM))


def shares(tables: Mapping[TableName, int], number: int) -> list[list[TableName]]:
    """The tables whose rows each stream but the first dumps: `number` - 1 lists at most, about equally large together.

    tables: their sizes, in bytes.
    """
    total = sum(tables.values())
    large = sorted((name for name, size in tables.items() if size * number * _SMALL >= total), key=tables.__getitem__)
    weights = [total - sum(tables[name] for name in large), *([0] * (number - 1))]
    shared: list[list[TableName]] = [[] for _ in range(number)]
    while large:
        name = large.pop()
        least = weights.index(min(weights))
        weights[least] += tables[name]
        shared[least].append(name)
    return [each for each in shared[1:] if each]


def without_rows(shared: Sequence[Sequence[TableName]]) -> list[str]:
    """pg_dump's options of the first stream."""
    return [f"--exclude-table-data={_pattern(name)}" for share in shared for name in share]


def rows_only(share: Sequence[TableName]) -> list[str]:
    """pg_dump's options of another stream."""
    return ["--section=data", *(f"--table={_pattern(name)}" for name in share)]


def _pattern(name: TableName) -> str:
    """As pg_dump takes it: nothing within quotes is a wild card."""
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in name)
