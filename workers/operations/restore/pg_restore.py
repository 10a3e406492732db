"""A dump into an empty database: by several connections, or streamed, and compared with the set's manifest.

The bytes are hashed on the way: a dump that is not the one that was written fails here, in a database that nobody uses.
It is restored by the role that owns the database, so that all in it is that role's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import psycopg

from workers.errors import OperatorError
from workers.operations.restore import extensions
from workers.systems.postgres import programs, snapshot
from workers.wording import listed

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import DatabasePart
    from workers.settings import Settings
    from workers.systems.postgres.database import Database
    from workers.systems.s3.transfer import Transfer

MIB: Final = 1 << 20
JOBS: Final = max(2, min(4, os.cpu_count() or 1))
"""Connections that restore at the same time."""
_FOLDER: Final = "mlflow-ops-restore-"
SPARE_BYTES: Final = 256 * MIB
LOOK_SECONDS: Final = 0.5
END_SECONDS: Final = 4 * 3600
"""For pg_restore to make the indexes once it has read everything."""


def fill(  # noqa: PLR0913, PLR0917 - from where, to where
    target: Database,
    part: DatabasePart,
    transfer: Transfer,
    bucket: str,
    settings: Settings,
    progress: Progress,
    *,
    admin: Database,
) -> None:
    """Restore a dump into `target`. admin: the same, as the role that makes extensions.

    Raises OperatorError, and Cancelled; what is there then is of no use.

    Where the dump fits on our disk it is fetched, hashed, and restored by several connections; else it is streamed
    through one (pg_restore's --jobs needs a file: https://www.postgresql.org/docs/current/app-pgrestore.html).
    """
    program = programs.find("pg_restore", settings)
    program.not_older_than(int(part.pg_dump_version.partition(".")[0] or 0))
    command = [
        str(program.path),
        "--exit-on-error",
        "--no-owner",
        "--no-acl",
        "--no-password",
        f"--dbname={programs.address(target)}",
    ]
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{os.getpid()}-") as folder:
        if shutil.disk_usage(folder).free > part.dump.bytes + SPARE_BYTES:
            path = Path(folder) / "database.dump"
            with path.open("wb") as file:
                _fetch(file, part, transfer, bucket, progress)
            chosen = _chosen(str(program.path), path, admin, Path(folder))
            _run([*command, *chosen, f"--jobs={JOBS}", str(path)], target, progress)
        else:
            chosen = _chosen(str(program.path), transfer.open(bucket, part.dump.key)[1], admin, Path(folder))
            _streamed([*command, *chosen], target, part, transfer, bucket, progress)


def _chosen(program: str, dump: Path | Iterable[bytes], admin: Database, folder: Path) -> list[str]:
    """Make the dump's extensions; options that leave them out, none where it has none."""
    lines = extensions.contents(program, dump)
    names = extensions.named(lines)
    if not names:
        return []
    extensions.make(admin, names)
    path = folder / "contents"
    path.write_text(extensions.without(lines), encoding="utf-8")
    return [f"--use-list={path}"]


def _sweep() -> None:
    """Remove what killed workers have left on this disk."""
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        owner = left.name.removeprefix(_FOLDER).partition("-")[0]
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (ValueError, PermissionError):
            continue


def _fetch(file: IO[bytes], part: DatabasePart, transfer: Transfer, bucket: str, progress: Progress) -> None:
    digest, size = hashlib.sha256(), 0
    for piece in transfer.open(bucket, part.dump.key)[1]:
        digest.update(piece)
        size += len(piece)
        _give(file, piece)
        progress.checkpoint()
        progress.advance(size // MIB, part.dump.bytes // MIB, "MiB")
    _compare_bytes(digest.hexdigest(), size, part, bucket)


def _run(command: list[str], target: Database, progress: Progress) -> None:
    with tempfile.TemporaryFile() as said:
        restoring = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=programs.environment(target),
        )
        began = time.monotonic()
        try:
            while restoring.poll() is None and time.monotonic() - began < END_SECONDS:
                progress.checkpoint()
                with suppress(subprocess.TimeoutExpired):
                    restoring.wait(LOOK_SECONDS)
        finally:
            _end(restoring)
        _judge(restoring.returncode, said, target)


def _streamed(  # noqa: PLR0913, PLR0917 - from where, to where
    command: list[str], target: Database, part: DatabasePart, transfer: Transfer, bucket: str, progress: Progress
) -> None:
    digest, size = hashlib.sha256(), 0
    with tempfile.TemporaryFile() as said:
        restoring = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=programs.environment(target),
            bufsize=0,
        )
        try:
            assert restoring.stdin is not None
            for piece in transfer.open(bucket, part.dump.key)[1]:
                digest.update(piece)
                size += len(piece)
                _give(restoring.stdin, piece)
                progress.checkpoint()
                progress.advance(size // MIB, part.dump.bytes // MIB, "MiB")
            restoring.stdin.close()
            restoring.wait(END_SECONDS)
        except BrokenPipeError:
            restoring.wait(60)
        finally:
            _end(restoring)
        _judge(restoring.returncode, said, target)
    _compare_bytes(digest.hexdigest(), size, part, bucket)


def _end(program: subprocess.Popen[bytes]) -> None:
    if program.poll() is None:
        # pg_restore ends its own workers where it is told to, and cannot where it is killed.
        program.terminate()
        try:
            program.wait(5)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _judge(code: int, said: IO[bytes], target: Database) -> None:
    if code == 0:
        return
    said.seek(0)
    text = " ".join(said.read(4000).decode("utf-8", "replace").replace("pg_restore: error: ", "").split())
    raise OperatorError(f"pg_restore failed: {target.explained(text or 'it said nothing').message}")


def _compare_bytes(sha256: str, size: int, part: DatabasePart, bucket: str) -> None:
    if (size, sha256) != (part.dump.bytes, part.dump.sha256):
        raise OperatorError(
            f"{bucket}/{part.dump.key} is damaged: its bytes are not those that were written.",
            "Use another set: /mlflow backup list.",
        )


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
        raise OperatorError(
            f"What was restored is not what was backed up: {listed(sorted(other))} have other numbers of rows.",
            "Use another set: /mlflow backup list.",
        )
    if revision != part.alembic_revision:
        raise OperatorError(f"The schema is {revision} and should be {part.alembic_revision}.", "Use another set.")


def _give(stream: object, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[stream.write(view) :]  # type: ignore[attr-defined]
