"""A dump into an empty database: streamed from the store into pg_restore, and compared with the set's manifest.

The bytes are hashed on the way: a dump that is not the one that was written fails here, in a database that nobody uses.
It is restored by the role that owns the database, so that all in it is that role's.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from typing import TYPE_CHECKING, Final

import psycopg

from workers.health.amounts import listed
from workers.operation import OperatorError
from workers.systems import postgres_programs, snapshot

if TYPE_CHECKING:
    from workers.backup.manifest import DatabasePart
    from workers.operation import Progress
    from workers.settings import Settings
    from workers.systems.bulk import Bulk
    from workers.systems.database import Database

MIB: Final = 1 << 20
END_SECONDS: Final = 4 * 3600
"""For pg_restore to make the indexes once it has read everything."""


def fill(  # noqa: PLR0913, PLR0917 - from where, to where
    target: Database, part: DatabasePart, bulk: Bulk, bucket: str, settings: Settings, progress: Progress
) -> None:
    """Restore a dump into `target`. Raises OperatorError, and Cancelled; what is there then is of no use."""
    program = postgres_programs.find("pg_restore", settings)
    program.not_older_than(int(part.pg_dump_version.partition(".")[0] or 0))
    command = [
        str(program.path),
        "--exit-on-error",
        "--no-owner",
        "--no-acl",
        "--no-password",
        f"--dbname={postgres_programs.address(target)}",
    ]
    digest, size = hashlib.sha256(), 0
    _, pieces = bulk.open(bucket, part.dump.key)
    with tempfile.TemporaryFile() as said:
        restoring = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=postgres_programs.environment(target),
            bufsize=0,
        )
        try:
            assert restoring.stdin is not None
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                _give(restoring.stdin, piece)
                progress.checkpoint()
                progress.advance(size // MIB, part.dump.bytes // MIB, "MiB")
            restoring.stdin.close()
            code = restoring.wait(END_SECONDS)
        except BrokenPipeError:
            code = restoring.wait(60)
        finally:
            if restoring.poll() is None:
                restoring.kill()
                restoring.wait()
        if code != 0:
            said.seek(0)
            text = " ".join(said.read(4000).decode("utf-8", "replace").replace("pg_restore: error: ", "").split())
            raise OperatorError(f"pg_restore failed: {target.explained(text or 'it said nothing').message}")
    if (size, digest.hexdigest()) != (part.dump.bytes, part.dump.sha256):
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
