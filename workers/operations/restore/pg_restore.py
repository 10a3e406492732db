"""A dump into an empty database: by several connections, or streamed, and compared with the set's manifest.

The bytes are hashed on the way: a dump that is not the one that was written fails here, in a database that nobody uses.
It is restored by a role that owns the new database and nothing else (replaying.py), so that all in it is that role's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from workers.errors import OperatorError, SetDamaged
from workers.operations.backup.stream import MIB
from workers.operations.restore import column_options, contents, extensions, failing, older_server, scratch
from workers.systems import temporary
from workers.systems.postgres import programs, snapshot
from workers.wording import listed, size

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import DatabasePart
    from workers.operations.backup.stream import Reading
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
) -> None:
    """Restore a part's dump into `target`. admin: the same, as the administrator. known: of its extensions.

    Raises OperatorError (SetDamaged where the set is to blame), and Cancelled; what is there then is of no use.

    Where there is room for the dump it is fetched, hashed, and restored by several connections; else it is streamed
    through one (pg_restore's --jobs needs a file: https://www.postgresql.org/docs/current/app-pgrestore.html).
    A server that is older than the program is given what it understands (older_server.py).
    """
    program = programs.find("pg_restore", settings)
    program.not_older_than(int(part.pg_dump_version.partition(".")[0] or 0))
    with temporary.folder("restore") as folder:
        room = scratch.free(folder, settings.environment.scratch_bytes) - SPARE_BYTES
        if room > part.dump.bytes:
            path = folder / "database.dump"
            with path.open("wb") as file:
                file.writelines(dump)
            dump.compare()
            replay(target, path, program, folder, progress, admin=admin, known=known, rows=part.rows)
        else:
            left = size(max(0, room))
            progress.step(f"Streaming the dump: its {size(part.dump.bytes)} don't fit in our {left} of disk")
            # Not a statement of it is run before all of it is known to be ours.
            dump.prove()
            try:
                replay(target, dump, program, folder, progress, admin=admin, known=known)
            except OperatorError:
                # It stopped listening: whether the bytes are to blame is told by reading all of them.
                for _ in dump:
                    pass
                dump.compare()
                raise
            dump.compare()


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
) -> None:
    """Replay a dump, a file or a stream, in `target`, whatever version of PostgreSQL that is.

    program: pg_restore. folder: for small files. rows: how many each table has, where that is known.
    Raises OperatorError, and Cancelled.
    """
    options = ["--exit-on-error", "--no-owner", "--no-acl", _chosen(program, dump, (target, admin), known, folder)]
    unknown = older_server.unknown_settings(program, dump, target, folder)
    strips = column_options.unknown(program, dump, target)
    if unknown or strips:
        again = older_server.Replay(program, program.beside("psql"), options, target, unknown, strips)
        if isinstance(dump, Path):
            again.filed(dump, rows or {}, folder, JOBS, progress)
        else:
            again.streamed(dump, progress)
        return
    command = [str(program.path), *options, "--no-password", f"--dbname={programs.address(target)}"]
    if isinstance(dump, Path):
        _run([*command, f"--jobs={JOBS}", str(dump)], target, progress)
    else:
        _run(command, target, progress, dump)


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


def _run(command: list[str], target: Database, progress: Progress, dump: Reading | None = None) -> None:
    with programs.running(command, target, fed=dump is not None) as restoring:
        for piece in dump or ():
            if not restoring.give(piece):
                break
        if restoring.wait(END_SECONDS, progress.checkpoint) != 0:
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
            f"What was restored is not what was backed up: {listed(sorted(other))} have other numbers of rows.",
            "Use another set: /mlflow backup list.",
        )
    if revision != part.alembic_revision:
        raise SetDamaged(f"The schema is {revision} and should be {part.alembic_revision}.", "Use another set.")
