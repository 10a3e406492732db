"""The database into a set: pg_dump's custom format, streamed to the store as it is made, then read back.

No file on the worker's disk, and memory that does not grow. A large database goes in several streams side by side, all
of one moment (sharing.py). pg_dump's exit is looked at before the upload is completed: a pipe that ends looks the same
whether the dump was whole or its program was killed. Rows are counted in the very snapshot that is dumped, so a restore
can be compared with them.
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup import catalog_record, encryption, foreseen, sharing
from workers.operations.backup.encryption import Keys
from workers.operations.backup.manifest import DatabasePart
from workers.operations.backup.stream import IN_FLIGHT, MIB, Reading, Writing
from workers.operations.side_by_side import side_by_side
from workers.systems.errors import CatalogTooLarge

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import Stored
    from workers.operations.side_by_side import Checkpoint
    from workers.settings import Settings
    from workers.systems.postgres.catalog import Line
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.programs import Program
    from workers.systems.postgres.snapshot import Snapshot
    from workers.systems.s3.transfer import Transfer

NAME: Final = "database.dump"
AUTH_NAME: Final = "auth-database.dump"
SAID_AT_MOST: Final = 500
END_SECONDS: Final = 60
"""For pg_dump to end after its output has."""


def dump(  # noqa: PLR0913, PLR0917 - from where, to where
    database: Database,
    transfer: Transfer,
    bucket: str,
    key: str,
    settings: Settings,
    progress: Progress,
    *,
    expected_bytes: int = 0,
    passing: bool = False,
) -> DatabasePart:
    """Dump a database into the object `key` (with .enc where it is encrypted), which is there only if it is whole, and
    into others beside it if it is large.

    expected_bytes: how large the last one was, to show how far this one is; without, the database's own size is shown.
    passing: it is restored at once and removed: packed by what costs least, and not by backup.compression.
    Raises OperatorError where pg_dump is missing, too old, fails or is killed; DatabaseError, ObjectsError; Cancelled.
    """
    from workers.systems.postgres import programs, snapshot

    began = time.monotonic()
    program = programs.find("pg_dump", settings)
    with snapshot.of(database) as moment:
        program.not_older_than(moment.major)
        revision = moment.alembic_revision()
        number = sharing.streams(moment.size_bytes, settings.ops.backup.dump_jobs)
        shared = sharing.shares(moment.sizes(), number) if number > 1 else []
        with ThreadPoolExecutor(1, thread_name_prefix="count") as counter:
            counting = counter.submit(_described, moment)
            try:
                expected = expected_bytes or moment.size_bytes
                packed = quickest(program) if passing else compression(program, settings.ops.backup.compression)
                command, keys = _command(program, moment, settings, packed), encryption.for_data(settings)
                commands = [[*command, *sharing.without_rows(shared)]]
                commands += [[*command, *sharing.rows_only(each)] for each in shared]
                names = [key, *(f"{key.removesuffix('.dump')}.apart-{n}.dump" for n in range(1, len(commands)))]
                in_flight = IN_FLIGHT // len(commands)
                uploads = [Writing(transfer, bucket, each, keys, in_flight=in_flight) for each in names]
                stored, *apart = _streams(commands, uploads, database, progress, expected)
                rows, lines = counting.result()
            except BaseException:
                moment.stop()
                raise
    return DatabasePart(
        dump=stored,
        apart=tuple(apart),
        catalog=None
        if lines is None
        else catalog_record.store(lines, encryption.for_configuration(settings), transfer, bucket, key),
        roles=tuple(sorted(foreseen.roles(lines or ()))),
        database=database.name,
        server_version=moment.server_version,
        pg_dump_version=program.version,
        alembic_revision=revision,
        rows=rows,
        size_bytes=moment.size_bytes,
        seconds=time.monotonic() - began,
    )


def _described(moment: Snapshot) -> tuple[dict[str, int], frozenset[Line] | None]:
    """The rows of each table, then all else, or None if that is too much: one connection does one thing at a time."""
    rows = moment.rows()
    try:
        return rows, moment.catalog()
    except CatalogTooLarge:
        return rows, None


def read_back(part: DatabasePart, transfer: Transfer, bucket: str, settings: Settings, progress: Progress) -> int:
    """Read stored dumps to their ends; how many entries pg_restore finds in their tables of contents.

    Raises OperatorError that names the object where its bytes are others, or it is no dump.
    """
    readings = [Reading(each, transfer, bucket, keys=Keys.all_of(settings)) for each in part.dumps]

    def shown() -> None:
        progress.checkpoint()
        progress.advance(sum(each.size for each in readings) // MIB, part.bytes // MIB, "MiB")

    calls = [partial(read_dump, each, settings) for each in readings]
    return sum(side_by_side(calls, shown, sharing.STREAMS))


def read_dump(reading: Reading, settings: Settings, checkpoint: Checkpoint) -> int:
    """The same of one of them."""
    from workers.systems.postgres import programs

    program = programs.find("pg_restore", settings)
    with (
        tempfile.TemporaryFile() as listed,
        programs.running([program.path, "--list"], fed=True, output=listed) as reader,
    ):
        for piece in reading:
            checkpoint()
            # It listens until it has read the table of contents; the rest is read for its checksum.
            reader.give(piece)
        code = reader.wait(END_SECONDS)
        reading.compare("Do not use it; make another set: /mlflow backup.")
        if code != 0:
            said = reader.said()[:SAID_AT_MOST] or "nothing"
            raise OperatorError(f"{reading.where} is no whole dump: pg_restore says {said}.", "Make another set.")
        listed.seek(0)
        return sum(1 for line in listed if line.strip() and not line.startswith(b";"))


def _command(program: Program, moment: Snapshot, settings: Settings, packed: str) -> list[str]:
    from workers.systems.postgres import programs

    return [
        str(program.path),
        "--format=custom",
        f"--compress={packed}",
        f"--snapshot={moment.id}",
        f"--lock-wait-timeout={settings.ops.backup.lock_wait_seconds}s",
        "--no-password",
        f"--dbname={programs.address(moment.database)}",
    ]


def compression(program: Program, wanted: str) -> str:
    """What is wanted where this pg_dump was built with it; else the quickest that it knows."""
    # Before version 16 it knows gzip alone, by its level.
    if program.major < 16:  # noqa: PLR2004
        return "0" if wanted == "none" else "1"
    return next(each for each in (wanted, "lz4:1", "gzip:1", "none") if program.compresses(each))


def quickest(program: Program) -> str:
    """What costs the least time to pack and unpack: gzip takes several times as long as the rest of a dump."""
    if program.major < 16:  # noqa: PLR2004
        return "0"
    return next(each for each in ("lz4:1", "zstd:1", "none") if program.compresses(each))


def _streams(
    commands: list[list[str]], uploads: list[Writing], database: Database, progress: Progress, expected: int
) -> list[Stored]:
    """Each command's output into an upload, side by side: of all of them, or none."""

    def shown() -> None:
        progress.checkpoint()
        size = sum(each.size for each in uploads)
        progress.advance(size // MIB, expected // MIB if expected >= size else 0, "MiB")

    calls = [partial(_stream, command, upload, database) for command, upload in zip(commands, uploads, strict=True)]
    return side_by_side(calls, shown, len(calls))


def _stream(command: list[str], upload: Writing, database: Database, checkpoint: Checkpoint) -> Stored:
    from workers.systems.postgres import programs

    with upload:
        with programs.running(command, database, output=subprocess.PIPE) as dumping:
            upload.take(dumping.output, lambda _: checkpoint())
            _judge(dumping.wait(END_SECONDS, checkpoint), dumping.said() or "nothing", database)
        upload.complete()
    return upload.stored


def _judge(code: int, words: str, database: Database) -> None:
    """Raises OperatorError unless pg_dump has ended well."""
    if code == 0:
        return
    if code < 0:
        raise OperatorError(
            f"pg_dump was killed ({signal.Signals(-code).name}): the dump is not whole, and nothing was kept.",
            "Look whether the worker has memory enough; then ask again.",
        )
    if re.search(r"(statement|lock) timeout.*LOCK TABLE", words):
        raise OperatorError(
            "A table was locked by someone else for as long as the dump waits.",
            "A migration may be running: ask again after it, or raise backup.lock_wait_seconds.",
        )
    if re.search(r"server version mismatch", words):
        raise OperatorError(
            "pg_dump is older than the server.",
            "Install newer client programs and name their folder in MLFLOW_OPS_POSTGRES_BIN.",
        )
    found = database.explained(words)
    raise OperatorError(f"The dump failed and nothing was kept. {found.message}", found.hint)
