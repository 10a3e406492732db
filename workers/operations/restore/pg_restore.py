"""A dump into an empty database: by several connections, or streamed, and compared with the set's manifest.

The bytes are hashed on the way: a dump that is not the one that was written fails here, in a database that nobody uses.
It is restored by a role that owns the new database and nothing else (replaying.py), so that all in it is that role's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from workers.errors import OperatorError, SetDamaged
from workers.operations.backup.stream import MIB
from workers.operations.restore import column_options, contents, extensions, failing, older_server, scratch
from workers.operations.side_by_side import side_by_side
from workers.systems import temporary
from workers.systems.postgres import programs, snapshot
from workers.wording import listed, size

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import DatabasePart
    from workers.operations.backup.stream import Reading
    from workers.operations.side_by_side import Checkpoint
    from workers.settings import Settings
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.programs import Program

JOBS: Final = max(2, min(4, os.cpu_count() or 1))
"""Connections that restore at the same time."""
SPARE_BYTES: Final = 256 * MIB
_NOTHING_KNOWN: Final = extensions.Known()
END_SECONDS: Final = 4 * 3600
"""For pg_restore to make the indexes once it has read everything."""


def fill(  # noqa: PLR0913 - from where, to where
    target: Database,
    part: DatabasePart,
    dump: Reading,
    settings: Settings,
    progress: Progress,
    *,
    admin: Database,
    known: extensions.Known = _NOTHING_KNOWN,
    apart: Sequence[Reading] = (),
) -> None:
    """Restore a part's dump into `target`. admin: the same, as the administrator. known: of its extensions. apart: the
    part's other dumps, of rows that are not in it.

    Raises OperatorError (SetDamaged where the set is to blame), and Cancelled; what is there then is of no use.

    Where there is room for the dump it is fetched, hashed, and restored by several connections; else it is streamed
    through one (pg_restore's --jobs needs a file: https://www.postgresql.org/docs/current/app-pgrestore.html).
    A server that is older than the program is given what it understands (older_server.py).
    """
    program = programs.find("pg_restore", settings)
    program.not_older_than(int(part.pg_dump_version.partition(".")[0] or 0))
    with temporary.folder("restore") as folder:
        room = scratch.free(folder, settings.environment.scratch_bytes) - SPARE_BYTES
        if room > part.bytes:
            path, *paths = (_fetched(each, folder / f"{n}.dump") for n, each in enumerate((dump, *apart)))
            replay(target, path, program, folder, progress, admin=admin, known=known, rows=part.rows, apart=paths)
        else:
            left = size(max(0, room))
            progress.step(f"Streaming the dump: its {size(part.bytes)} don't fit in our {left} of disk")
            # Not a statement of it is run before all of it is known to be ours.
            for each in (dump, *apart):
                each.prove()
            try:
                replay(target, dump, program, folder, progress, admin=admin, known=known, apart=apart)
            except OperatorError:
                # It stopped listening: whether the bytes are to blame is told by reading all of them.
                for each in (dump, *apart):
                    each.prove()
                raise
            for each in (dump, *apart):
                each.compare()


def _fetched(dump: Reading, path: Path) -> Path:
    with path.open("wb") as file:
        file.writelines(dump)
    dump.compare()
    return path


def replay(  # noqa: PLR0913 - from where, to where
    target: Database,
    dump: Path | Reading,
    program: Program,
    folder: Path,
    progress: Progress,
    *,
    admin: Database,
    known: extensions.Known = _NOTHING_KNOWN,
    rows: Mapping[str, int] | None = None,
    apart: Sequence[Path | Reading] = (),
) -> None:
    """Replay a dump, a file or a stream, in `target`, whatever version of PostgreSQL that is.

    program: pg_restore. folder: for small files. rows: how many each table has, where that is known. apart: dumps of
    rows that are not in it, files or streams as it is.
    Raises OperatorError, and Cancelled.
    """
    chosen = _chosen(program, dump, (target, admin), known, folder)
    unknown = older_server.unknown_settings(program, dump, target, folder)
    strips = column_options.unknown(program, dump, target)
    options = ("--exit-on-error", "--no-owner", "--no-acl")
    if unknown or strips:
        again = older_server.Replay(program, program.beside("psql"), [*options, chosen], target, unknown, strips)
        if isinstance(dump, Path):
            files = [each for each in apart if isinstance(each, Path)]
            again.filed(dump, rows or {}, folder, JOBS, progress, files)
        else:
            again.streamed(dump, progress, [each for each in apart if not isinstance(each, Path)])
        return
    command = [str(program.path), *options, "--no-password", f"--dbname={programs.address(target)}"]
    all_of_it = partial(_run, [*command, chosen], target, dump)
    jobs = f"--jobs={JOBS}" if isinstance(dump, Path) else "--jobs=1"
    if not apart:
        all_of_it(progress.checkpoint, jobs)
        return
    # Rows come before indexes and keys, all of them: these look at the rows of other tables.
    all_of_it(progress.checkpoint, "--section=pre-data")
    calls = [partial(_rows, [*command, chosen], target, dump)]
    calls += [partial(_rows, command, target, each) for each in apart]
    if isinstance(dump, Path):
        side_by_side(calls, progress.checkpoint, JOBS)
    else:
        for call in calls:
            call(progress.checkpoint)
    all_of_it(progress.checkpoint, "--section=post-data", jobs)


def _chosen(
    program: Program,
    dump: Path | Iterable[bytes],
    places: tuple[Database, Database],
    known: extensions.Known,
    folder: Path,
) -> str:
    """Make the dump's extensions; the option that names what else of it is replayed."""
    lines = contents.asked([program.path, "--list"], dump)
    schemas = extensions.make(*places, extensions.named(lines), known)
    path = folder / "contents"
    path.write_text(contents.replayed(lines, schemas), encoding="utf-8")
    return f"--use-list={path}"


def _rows(command: list[str], target: Database, dump: Path | Reading, checkpoint: Checkpoint) -> None:
    _run(command, target, dump, checkpoint, "--section=data")


def _run(command: list[str], target: Database, dump: Path | Reading, checkpoint: Checkpoint, *more: str) -> None:
    filed = isinstance(dump, Path)
    with programs.running([*command, *more, *([str(dump)] if filed else [])], target, fed=not filed) as restoring:
        for piece in () if isinstance(dump, Path) else dump:
            if not restoring.give(piece):
                break
        if restoring.wait(END_SECONDS, checkpoint) != 0:
            raise failing.explained(restoring.said(), target)


def compare(target: Database, part: DatabasePart) -> None:
    """Analyse what was restored and compare it with the manifest. Raises OperatorError where it is not the same."""
    try:
        with psycopg.connect(target.url, autocommit=True) as connection:
            connection.execute("ANALYZE")
    except psycopg.Error as error:
        raise target.explained(error) from None
    with snapshot.of(target) as moment:
        rows, revision = moment.rows(), moment.alembic_revision()
    other = [table for table in {**part.rows, **rows} if part.rows.get(table) != rows.get(table)]
    if other:
        raise SetDamaged(
            f"What was restored is not what was backed up: other numbers of rows in {listed(sorted(other))}.",
            "Use another set: /mlflow backup list.",
        )
    if revision != part.alembic_revision:
        raise SetDamaged(f"The schema is {revision} and should be {part.alembic_revision}.", "Use another set.")
