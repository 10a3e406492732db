"""A base backup: pg_basebackup's tar, streamed into the bucket and compared with its manifest on the way.

Nothing of it touches the worker's disk. The WAL that it needs is what `mlflow-ops wal` keeps: so it is a base only once
that has come as far as the base's end, which is waited for. base.json comes last; without it, there is no base.
"""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar, Final, cast

from workers.errors import OperatorError
from workers.operation import Operation, Plan, Progress, Risk
from workers.operations.backup import encryption
from workers.operations.backup.manifest import Stored
from workers.operations.backup.stream import Writing
from workers.operations.backup.wal import access, archive, copying, incremental, locked, packing, places, tar_check
from workers.operations.backup.wal.archive import Base
from workers.operations.backup.wal.tar_check import Checked, Tee
from workers.report import Facts, Report, Status
from workers.systems.postgres.wal_position import Segment, position
from workers.wording import count, duration, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.operations.backup.wal.places import Places
    from workers.systems import Systems
    from workers.systems.postgres.programs import Program
    from workers.systems.postgres.replication import Replication
    from workers.systems.s3.transfer import Transfer

LOCK: Final = "base"
CALLS_AT_ONCE: Final = 4
MIB: Final = 1 << 20
LEVEL, THREADS = 1, 2
"""Of Zstandard: for much, quickly."""
END_SECONDS: Final = 60
GIVEN_UP_SECONDS: Final = 2
"""For pg_basebackup to say why it has ended, where its tar is not whole."""
WAL_SECONDS: Final = 300.0
"""How long the WAL up to a base's end may take to come."""
LOOK_SECONDS: Final = 0.5
UNHURRIED_SECONDS: Final = 6 * 3600
"""A base at leisure of a large server takes no longer, if that takes more than the settings' bytes in a second."""
RATE_AT_MOST: Final = 1 << 30
"""Bytes in a second (pg_basebackup, --max-rate)."""


class BackupBase(Operation):
    """Make a base backup of the whole server. now: at once and as fast as it goes, not at leisure.

    full: all of it, also where what has changed would do.
    """

    name: ClassVar[str] = "backup-base"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (LOCK,)
    timeout_seconds: ClassVar[int] = 12 * 3600
    resumes: ClassVar[bool] = True

    now: bool = False
    full: bool = False

    def plan(self, systems: Systems) -> Plan:
        """What would be read and where it would go. Raises OperatorError where it cannot be made."""
        replication, program = _able(systems)
        known = replication.identity()
        where = places.Places(known.system, known.segment_bytes)
        bucket = systems.settings.ops.storage.backups_bucket
        return Plan(
            title="Base backup",
            summary=f"all of the server, PostgreSQL {known.version}, to s3://{bucket}/{where.prefix}{places.BASE}",
            steps=(
                f"Stream the server's files with pg_basebackup {program.version}, comparing each with the manifest",
                "Wait until the WAL up to its end is in the bucket",
            ),
            facts={"system": known.system, "bucket": bucket},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Make it. Raises OperatorError, and Cancelled: then there is no base."""
        most = None if self.now else pace(systems)
        made = make(systems, progress, fast=self.now, full=self.full, most=most)
        told, status = _copied(systems, made, progress)
        what = "changes, " if made.previous else ""
        saved = f"{what}{size(made.tar_bytes)} as {size(made.tar.bytes)}"
        return Report(
            title="Base backup",
            status=status,
            summary=f"{saved} in {duration(made.seconds)}: one can go back to any moment since "
            f"{archive.moment_of(made.finished_at)}.",
            sections=(
                Facts(
                    items=(
                        ("base", made.name),
                        ("holds", f"what has changed since {made.previous}" if made.previous else "all of the server"),
                        ("files", f"{made.files:,}, each compared with the manifest's SHA-256"),
                        ("WAL from", made.first.name(made.segment_bytes)),
                        ("server", f"PostgreSQL {made.server_version}, timeline {made.timeline}"),
                        *told,
                    )
                ),
            ),
            hints=("health recovery", "backup prune --dry-run"),
        )


def _copied(systems: Systems, made: Base, progress: Progress) -> tuple[tuple[tuple[str, str], ...], Status]:
    """What became of its copies; one that failed is made with the next base. Raises Cancelled: the base stays."""
    told, status = [], Status.OK
    for each in copying.every(systems, places.Places(made.system, made.segment_bytes)):
        progress.ended()
        progress.step(f"Copying to {each.place}")
        try:
            number = each.bases(progress.checkpoint)
            told.append(("copied", f"{each.place}: {count(number, 'base')}, read back and compared"))
        except OperatorError as error:
            told.append(("NOT COPIED", f"{each.place}: {error.message}"))
            progress.ended(error.message, well=False)
            status = Status.WARN
    return tuple(told), status


def pace(systems: Systems) -> int | None:
    """How many bytes of the server a base at leisure reads in a second; None: as they come. Raises OperatorError."""
    most = systems.settings.ops.recovery.base_bytes_per_second
    whole = access.replication(systems).size_bytes() if most else 0
    return min(RATE_AT_MOST, max(most, whole // UNHURRIED_SECONDS)) if most else None


def make(systems: Systems, progress: Progress, *, fast: bool, full: bool = False, most: int | None = None) -> Base:
    """Make a base. fast: have the server write a checkpoint at once. full: never an incremental one. most: bytes of the
    server that are read in a second; None: as they come.

    Raises OperatorError, and Cancelled: then there is none.
    """
    from workers.systems.s3.transfer import Transfer

    replication, program = _able(systems)
    known = replication.identity()
    where = places.Places(known.system, known.segment_bytes)
    bucket = systems.settings.ops.storage.backups_bucket
    began, started = time.monotonic(), replication.clock()
    name = places.new_base(started)
    key = f"{where.base(name)}{places.BASE_TAR}"
    with Transfer.of(systems.backups, CALLS_AT_ONCE, locked.rule(systems.settings)) as transfer:
        _sweep(transfer, bucket, where)
        there = access.archive(systems, where)
        rests_on = None if full else incremental.previous(systems.settings, replication, program, there, started)

        def streamed(since: Path | None) -> tuple[Stored, Checked]:
            progress.step("Waiting for the server's checkpoint", of="Stream the server's files")
            upload = Writing(transfer, bucket, key, encryption.for_data(systems.settings))
            return _streamed(replication, _command(replication, program, since, most, fast=fast), upload, progress)

        if rests_on is not None:
            with incremental.manifest_of(rests_on, there, transfer) as since:
                try:
                    stored, checked = streamed(since)
                    rests_on = rests_on if since else None
                except OperatorError as error:
                    # As where the server has removed its summaries: they are kept for ten days.
                    progress.step(f"All of it, because what has changed can't be had: {error.message}"[:200])
                    rests_on, (stored, checked) = None, streamed(None)
        else:
            stored, checked = streamed(None)
        made = Base(
            name=name,
            system=known.system,
            segment_bytes=known.segment_bytes,
            timeline=checked.timeline,
            starts=checked.starts,
            checkpoint=checked.checkpoint,
            ends=checked.ends,
            started_at=started,
            finished_at=replication.clock(),
            server_version=known.version,
            superuser=known.superuser,
            settings=replication.settings(),
            tar=stored,
            tar_bytes=checked.bytes,
            files=checked.files,
            seconds=time.monotonic() - began,
            previous=rests_on.name if rests_on else "",
        )
        progress.step("Waiting for the WAL up to its end", of="Wait until the WAL")
        try:
            _wait_for_wal(made, transfer, bucket, where, progress)
        except BaseException:
            transfer.delete(bucket, [stored.key])
            raise
        files = f"{where.base(name)}{places.BASE_FILES}"
        _put(transfer, bucket, files, there.packing.packed(checked.manifest, files))
        key, content = f"{where.base(name)}{places.BASE_MANIFEST}", made.model_dump_json(indent=2).encode()
        transfer.put(bucket, key, there.packing.document(content, key))
    return made


def _put(transfer: Transfer, bucket: str, key: str, content: bytes) -> None:
    """An object that may be of some length: a line for each of the server's files."""
    from workers.systems.s3.multipart import Writer

    with Writer(transfer, bucket, key, part_bytes=8 * MIB) as writer:
        writer.write(content)
        writer.close()


def _able(systems: Systems) -> tuple[Replication, Program]:
    from workers.systems.postgres import programs

    access.refuse_off(systems)
    replication = access.replication(systems)
    lacking = replication.lacking()
    if lacking:
        raise OperatorError(f"There can be no base backup: {lacking[0].what}.", lacking[0].remedy)
    if replication.look() is None:
        raise OperatorError(
            "The server keeps no WAL for us yet, and a base backup is of no use without.",
            "Start the process mlflow-ops wal.",
        )
    program = programs.find("pg_basebackup", systems.settings)
    program.not_older_than(replication.identity().major)
    return replication, program


@dataclass
class _Read:
    """How much of the files has come, from another thread. told: whether it was said that they come."""

    bytes: int = 0
    told: bool = False

    def up_to(self, number: int) -> None:
        self.bytes = number


def _command(
    replication: Replication, program: Program, since: Path | None, most: int | None, *, fast: bool
) -> list[str | Path]:
    from workers.systems.postgres import programs

    return [
        program.path,
        "--pgdata=-",
        "--format=tar",
        "--wal-method=none",
        f"--checkpoint={'fast' if fast else 'spread'}",
        "--manifest-checksums=SHA256",
        "--label=mlflow-ops",
        "--no-password",
        f"--dbname={programs.address(replication.database)}",
        *([f"--incremental={since}"] if since else []),
        *([f"--max-rate={most // 1024}k"] if most else []),
    ]


def _streamed(
    replication: Replication, command: list[str | Path], upload: Writing, progress: Progress
) -> tuple[Stored, Checked]:
    from workers.systems.postgres import programs

    database = replication.database
    read = _Read()

    def moved(_: int) -> None:
        progress.checkpoint()
        if read.bytes and not read.told:
            read.told = True
            progress.step("Streaming the server's files")
        progress.advance(read.bytes // MIB, 0, "MiB")

    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb", buffering=0) as packed,
        ThreadPoolExecutor(1, thread_name_prefix="pack") as pool,
        upload,
        programs.running(command, database, output=subprocess.PIPE) as running,
    ):
        checking = pool.submit(_packed, running.output, writing, upload.key, read.up_to)
        try:
            upload.take(packed, moved)
        except BaseException:
            # Whoever packs is not read from any more: it ends with the pipe, and with the program.
            packed.close()
            running.end()
            raise
        try:
            checked = checking.result()
        except OperatorError:
            if running.wait(GIVEN_UP_SECONDS) != 0 and running.said():
                raise OperatorError(_failed(running.said()), "Ask again: /mlflow backup base.") from None
            raise
        if running.wait(END_SECONDS) != 0:
            raise OperatorError(_failed(running.said()), "Ask again: /mlflow backup base.")
        upload.complete()
    return upload.stored, checked


def _failed(said: str) -> str:
    return f"The base backup failed and nothing was kept. pg_basebackup says: {said or 'nothing'}"[:500]


def _packed(tar: IO[bytes], into: int, key: str, moved: Callable[[int], None]) -> Checked:
    """Pack a tar into a pipe, and compare it on the way."""
    # What encrypts it comes behind the pipe.
    packer = packing.Packer(key, None, level=LEVEL, threads=THREADS)
    with os.fdopen(into, "wb", buffering=0) as pipe:
        checked = tar_check.check(cast("IO[bytes]", Tee(tar, lambda piece: _write(pipe, packer.add(piece)))), moved)
        _write(pipe, packer.end())
    return checked


def _write(pipe: IO[bytes], piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[pipe.write(left) :]


def _wait_for_wal(made: Base, transfer: Transfer, bucket: str, where: Places, progress: Progress) -> None:
    last = Segment.holding(position(made.ends) - 1, made.timeline, made.segment_bytes)
    offset = position(made.ends) - last.start(made.segment_bytes)
    until = time.monotonic() + WAL_SECONDS
    while True:
        kept = archive.list_wal(transfer, bucket, where, since=made.first)
        reached = kept.reaches(made.first)
        if reached and (reached.number > last.number or kept.end(reached, made.segment_bytes) >= offset):
            return
        progress.checkpoint()
        if time.monotonic() > until:
            raise OperatorError(
                f"The WAL up to the base's end did not come within {duration(WAL_SECONDS)}, so it is of no use.",
                "Look at the process mlflow-ops wal; then ask again.",
            )
        time.sleep(LOOK_SECONDS)


def _sweep(transfer: Transfer, bucket: str, where: Places) -> None:
    """Remove what was killed before it was a base: one is made at a time, so what has no manifest is nobody's."""
    prefix = f"{where.prefix}{places.BASE}"
    for pending in list(transfer.uploads(bucket, prefix)):
        transfer.abort(bucket, pending.key, pending.upload)
    for folder in list(transfer.objects.folders(bucket, prefix)):
        if not transfer.exists(bucket, f"{folder}{places.BASE_MANIFEST}"):
            transfer.delete(bucket, [item.key for item in transfer.items(bucket, folder)])
