"""The database into a set: pg_dump's custom format, streamed to the store as it is made, then read back.

No file on the worker's disk, and memory that does not grow. pg_dump's exit is looked at before the upload is completed:
a pipe that ends looks the same whether the dump was whole or its program was killed. Rows are counted in the very
snapshot that is dumped, so a restore can be compared with them.
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup import catalog_record, encryption, foreseen
from workers.operations.backup.encryption import Keys
from workers.operations.backup.manifest import DatabasePart
from workers.operations.backup.stream import MIB, Reading, Writing

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import Stored
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
) -> DatabasePart:
    """Dump a database into the object `key` (with .enc where it is encrypted), which is there only if it is whole.

    expected_bytes: how large the last one was, to show how far this one is; without, the database's own size is shown.
    Raises OperatorError where pg_dump is missing, too old, fails or is killed; DatabaseError, ObjectsError; Cancelled.
    """
    from workers.systems.postgres import programs, snapshot

    began = time.monotonic()
    program = programs.find("pg_dump", settings)
    with snapshot.of(database) as moment:
        program.not_older_than(moment.major)
        revision = moment.alembic_revision()
        with ThreadPoolExecutor(1, thread_name_prefix="count") as counter:
            counting = counter.submit(_described, moment)
            try:
                expected = expected_bytes or moment.size_bytes
                command = _command(program, moment, settings)
                upload = Writing(transfer, bucket, key, encryption.for_data(settings))
                stored = _stream(command, database, upload, progress, expected)
                rows, lines = counting.result()
            except BaseException:
                moment.stop()
                raise
    return DatabasePart(
        dump=stored,
        catalog=catalog_record.store(lines, encryption.for_configuration(settings), transfer, bucket, key),
        roles=tuple(sorted(foreseen.roles(lines))),
        database=database.name,
        server_version=moment.server_version,
        pg_dump_version=program.version,
        alembic_revision=revision,
        rows=rows,
        size_bytes=moment.size_bytes,
        seconds=time.monotonic() - began,
    )


def _described(moment: Snapshot) -> tuple[dict[str, int], frozenset[Line]]:
    """The rows of each table, then all else: one connection does one thing at a time."""
    return moment.rows(), moment.catalog()


def read_back(part: DatabasePart, transfer: Transfer, bucket: str, settings: Settings, progress: Progress) -> int:
    """Read a stored dump to its end; how many entries pg_restore finds in its table of contents.

    Raises OperatorError that names the object where its bytes are others, or it is no dump.
    """
    from workers.systems.postgres import programs

    program = programs.find("pg_restore", settings)
    stored = Reading(part.dump, transfer, bucket, progress, Keys.all_of(settings))
    with (
        tempfile.TemporaryFile() as listed,
        programs.running([program.path, "--list"], fed=True, output=listed) as reader,
    ):
        for piece in stored:
            # It listens until it has read the table of contents; the rest is read for its checksum.
            reader.give(piece)
        code = reader.wait(END_SECONDS)
        stored.compare("Do not use it; make another set: /mlflow backup.")
        if code != 0:
            said = reader.said()[:SAID_AT_MOST] or "nothing"
            raise OperatorError(f"{stored.where} is no whole dump: pg_restore says {said}.", "Make another set.")
        listed.seek(0)
        return sum(1 for line in listed if line.strip() and not line.startswith(b";"))


def _command(program: Program, moment: Snapshot, settings: Settings) -> list[str]:
    from workers.systems.postgres import programs

    ours = settings.ops.backup
    return [
        str(program.path),
        "--format=custom",
        f"--compress={compression(program, ours.compression)}",
        f"--snapshot={moment.id}",
        f"--lock-wait-timeout={ours.lock_wait_seconds}s",
        "--no-password",
        f"--dbname={programs.address(moment.database)}",
    ]


def compression(program: Program, wanted: str) -> str:
    """What is wanted where this pg_dump was built with it; else the quickest that it knows."""
    # Before version 16 it knows gzip alone, by its level.
    if program.major < 16:  # noqa: PLR2004
        return "0" if wanted == "none" else "1"
    return next(each for each in (wanted, "lz4:1", "gzip:1", "none") if program.compresses(each))


def _stream(command: list[str], database: Database, upload: Writing, progress: Progress, expected: int) -> Stored:
    from workers.systems.postgres import programs

    def moved(size: int) -> None:
        progress.checkpoint()
        progress.advance(size // MIB, expected // MIB if expected >= size else 0, "MiB")

    with upload:
        with programs.running(command, database, output=subprocess.PIPE) as dumping:
            upload.take(dumping.output, moved)
            _judge(dumping.wait(END_SECONDS), dumping.said() or "nothing", database)
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
