"""The database into a set: pg_dump's custom format, streamed to the store as it is made, then read back.

No file on the worker's disk, and memory that does not grow. pg_dump's exit is looked at before the upload is completed:
a pipe that ends looks the same whether the dump was whole or its program was killed. Rows are counted in the very
snapshot that is dumped, so a restore can be compared with them.
"""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup.manifest import DatabasePart, Stored

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.settings import Settings
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.programs import Program
    from workers.systems.postgres.snapshot import Snapshot
    from workers.systems.s3.transfer import Transfer

NAME: Final = "database.dump"
AUTH_NAME: Final = "auth-database.dump"
MIB: Final = 1 << 20
PIPE_BYTES: Final = 1 << 20
SAID_AT_MOST: Final = 64 * 1024
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
    """Dump a database into the object `key`, which is there only if the dump is whole.

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
            counting = counter.submit(moment.rows)
            try:
                expected = expected_bytes or moment.size_bytes
                command = _command(program, moment, settings)
                stored = _stream(command, database, transfer, (bucket, key), progress, expected)
                rows = counting.result()
            except BaseException:
                moment.stop()
                raise
    return DatabasePart(
        dump=stored,
        database=database.name,
        server_version=moment.server_version,
        pg_dump_version=program.version,
        alembic_revision=revision,
        rows=rows,
        size_bytes=moment.size_bytes,
        seconds=time.monotonic() - began,
    )


def read_back(part: DatabasePart, transfer: Transfer, bucket: str, settings: Settings, progress: Progress) -> int:
    """Read a stored dump to its end; how many entries pg_restore finds in its table of contents.

    Raises OperatorError that names the object where its bytes are others, or it is no dump.
    """
    from workers.systems.postgres import programs

    program = programs.find("pg_restore", settings)
    where = f"{bucket}/{part.dump.key}"
    _, pieces = transfer.open(bucket, part.dump.key)
    digest, size = hashlib.sha256(), 0
    with tempfile.TemporaryFile() as listed, tempfile.TemporaryFile() as said:
        reader = subprocess.Popen(
            [program.path, "--list"],
            stdin=subprocess.PIPE,
            stdout=listed,
            stderr=said,
            env=programs.environment(),
            bufsize=0,
        )
        with _ended(reader):
            assert reader.stdin is not None
            hears = True
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                hears = hears and _give(reader.stdin, piece)
                progress.checkpoint()
                progress.advance(size // MIB, part.dump.bytes // MIB, "MiB")
            reader.stdin.close()
            code = reader.wait(END_SECONDS)
        if (size, digest.hexdigest()) != (part.dump.bytes, part.dump.sha256):
            raise OperatorError(
                f"{where} is damaged: its bytes are not those that were written "
                f"({size:,} of {part.dump.bytes:,}, or another SHA-256).",
                "Do not use it; make another set: /mlflow backup.",
            )
        if code != 0:
            raise OperatorError(f"{where} is no whole dump: pg_restore says {_last(said)}.", "Make another set.")
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


def _stream(  # noqa: PLR0913, PLR0917 - from where, to where
    command: list[str],
    database: Database,
    transfer: Transfer,
    place: tuple[str, str],
    progress: Progress,
    expected: int,
) -> Stored:
    from workers.operations.backup.stream import Streamed
    from workers.systems.postgres import programs

    def moved(size: int) -> None:
        progress.checkpoint()
        progress.advance(size // MIB, expected // MIB if expected >= size else 0, "MiB")

    with tempfile.TemporaryFile() as said, Streamed(transfer, *place) as upload:
        dumping = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=programs.environment(database),
            bufsize=0,
            pipesize=PIPE_BYTES,
        )
        with _ended(dumping):
            assert dumping.stdout is not None
            upload.take(dumping.stdout, moved)
            _judge(dumping.wait(END_SECONDS), said, database)
        upload.complete()
    return Stored(key=place[1], bytes=upload.size, sha256=upload.sha256)


def _judge(code: int, said: IO[bytes], database: Database) -> None:
    """Raises OperatorError unless pg_dump has ended well."""
    if code == 0:
        return
    if code < 0:
        raise OperatorError(
            f"pg_dump was killed ({signal.Signals(-code).name}): the dump is not whole, and nothing of it was kept.",
            "Look whether the worker has memory enough; then ask again.",
        )
    words = _last(said)
    if re.search(r"(statement|lock) timeout.*LOCK TABLE", words):
        raise OperatorError(
            "A table was locked by somebody else for as long as the dump waits.",
            "A migration may be running: ask again after it, or raise backup.lock_wait_seconds.",
        )
    if re.search(r"server version mismatch", words):
        raise OperatorError(
            "pg_dump is older than the server.",
            "Install newer client programs and name their folder in MLFLOW_OPS_POSTGRES_BIN.",
        )
    found = database.explained(words)
    raise OperatorError(f"The dump failed and nothing of it was kept. {found.message}", found.hint)


def _last(said: IO[bytes]) -> str:
    """What a program said at its end, on one line."""
    size = said.seek(0, 2)
    said.seek(max(0, size - SAID_AT_MOST))
    text = said.read().decode("utf-8", "replace")
    return " ".join(text.replace("pg_dump: error: ", "").replace("pg_restore: error: ", "").split())[:500] or "nothing"


def _give(stream: IO[bytes], piece: bytes) -> bool:
    """False where the program listens no more: it has read the table of contents and needs no further."""
    view = memoryview(piece)
    try:
        while view:
            view = view[stream.write(view) :]
    except BrokenPipeError:
        return False
    return True


class _ended:  # noqa: N801 - reads as a word
    """Within it a program runs; after it, it does not, whatever happened."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stdin):
            if stream:
                with suppress(OSError):
                    stream.close()
