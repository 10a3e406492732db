"""Every pod's log into the backup bucket: each container's, and the previous one if it was restarted.

Logs are streamed from the API server to the store, so their length costs no memory: secrets are blotted out
(redacting.py), what is left is compressed, and encrypted as the parts of a set are (sealing.py). The manifest is
written last and signed as a set's is; it names every file with its bytes and checksum, and what could not be read. So
docs/decrypt.py reads an archive as it reads a set.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from workers.errors import OperatorError
from workers.operation import Operation, Plan, Progress, Risk
from workers.operations.backup import encryption, signing
from workers.operations.backup.sealing import Sealer
from workers.operations.logs.redacting import Redacting
from workers.report import Report, Status, Table
from workers.systems.errors import ObjectsError
from workers.wording import count, size

if TYPE_CHECKING:
    from workers.operations.backup.encryption import Keys
    from workers.systems import Systems
    from workers.systems.s3.transfer import Transfer

PREFIX: Final = "logs/"
GZIP: Final = 31
"""zlib's window bits for gzip's own header (https://docs.python.org/3/library/zlib.html#zlib.compressobj)."""
CALLS_AT_ONCE: Final = 4
_PLAIN: Final = "NOT ENCRYPTED: {}, so whoever can read the bucket can read the logs."


@dataclass(frozen=True)
class Source:
    """A container's log; previous: of its life before the last restart."""

    pod: str
    container: str
    previous: bool

    def __str__(self) -> str:
        """As it is named in lists."""
        return f"{self.pod} {self.container}{' (previous)' if self.previous else ''}"

    @property
    def file(self) -> str:
        """Where it goes, below the archive's name."""
        return f"{self.pod}/{self.container}{'.previous' if self.previous else ''}.log.gz"


@dataclass(frozen=True)
class Kept:
    """One log. bytes: before compression; stored_bytes, sha256: of the stored object. key_id: of the key that it is
    encrypted with; empty where it isn't.
    """

    source: Source
    key: str
    bytes: int
    stored_bytes: int
    sha256: str
    key_id: str = ""


class LogsArchive(Operation):
    """Write the logs of MLflow's, PostgreSQL's and the object store's pods to the backup bucket."""

    name: ClassVar[str] = "logs-archive"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("logs",)
    timeout_seconds: ClassVar[int] = 3600

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Log archive"

    def plan(self, systems: Systems) -> Plan:
        """What would be read and where it would go."""
        bucket = systems.settings.ops.storage.backups_bucket
        return Plan(
            title=self.title,
            summary=f"the logs of all pods to s3://{bucket}/{PREFIX}",
            steps=(
                (
                    "Read the log of each container, and the previous one if it was restarted, blot out secrets, and "
                    f"write it compressed{_how(systems)} to s3://{bucket}/{PREFIX}"
                ),
                "Write the manifest",
            ),
            warnings=_plain(systems),
            undo="nothing is changed but the backup bucket",
            facts={"bucket": bucket},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it. A log that cannot be read is named; that the store takes nothing ends it."""
        from workers.systems.s3.transfer import Transfer

        bucket = systems.settings.ops.storage.backups_bucket
        began = datetime.now(UTC)
        name = f"{PREFIX}{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}/"
        kept: list[Kept] = []
        missed: list[str] = []
        wanted, keys = list(_sources(systems)), encryption.for_configuration(systems.settings)
        progress.step("Reading logs", of="Read the log")
        with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
            for number, source in enumerate(wanted):
                progress.advance(number, len(wanted), "logs")
                progress.checkpoint()
                try:
                    kept.append(_keep(systems, transfer, name, source, keys))
                except ObjectsError:
                    raise
                except OperatorError as error:
                    missed.append(f"{source}: {error.message}")
            told: dict[str, Any] = {
                "name": name,
                "target": systems.settings.environment.target,
                "began_at": began.isoformat(),
                "logs": [asdict(each) for each in kept],
                "missed": missed,
            }
            progress.step("Writing the manifest", of="Write the manifest")
            signing_keys = encryption.Keys.of(systems.settings)
            told["signature"] = signing.signature(told, signing_keys).model_dump() if signing_keys else None
            transfer.put(bucket, f"{name}manifest.json", json.dumps(told, indent=1).encode())
        return _report(f"s3://{bucket}/{name}", kept, missed, _plain(systems))


def _how(systems: Systems) -> str:
    return " and encrypted" if encryption.for_configuration(systems.settings) else ""


def _plain(systems: Systems) -> tuple[str, ...]:
    """That the logs are not encrypted, and why; nothing where they are."""
    if encryption.for_configuration(systems.settings):
        return ()
    given = encryption.given(systems.settings)
    return (_PLAIN.format("backup.encrypt is none" if given else "MLFLOW_OPS_BACKUP_KEY is not set"),)


def _sources(systems: Systems) -> Iterator[Source]:
    names = systems.settings.ops.kubernetes
    seen: set[str] = set()
    for selector in (names.selector, names.postgres_selector, names.storage_selector):
        for pod in systems.cluster.pods(selector):
            name = str(pod["metadata"]["name"])
            if name in seen:
                continue
            seen.add(name)
            status: dict[str, Any] = pod.get("status") or {}
            for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
                if int(each.get("restartCount") or 0) > 0:
                    yield Source(name, str(each["name"]), previous=True)
                yield Source(name, str(each["name"]), previous=False)


def _keep(systems: Systems, transfer: Transfer, archive: str, source: Source, keys: Keys | None) -> Kept:
    from workers.systems.s3.multipart import Writer

    key = f"{archive}{source.file}{encryption.NAME_END if keys else ''}"
    packer, clean, read = zlib.compressobj(wbits=GZIP), Redacting(), 0
    sealer = Sealer(keys.current, key) if keys else None
    moves = {"ContentType": "application/octet-stream" if keys else "application/gzip"}
    with Writer(transfer, systems.settings.ops.storage.backups_bucket, key, moves=moves) as writer:

        def write(piece: bytes) -> None:
            writer.write(sealer.add(piece) if sealer else piece)

        for piece in systems.cluster.log_bytes(source.pod, source.container, previous=source.previous):
            line = clean.add(piece)
            read += len(line)
            write(packer.compress(line))
        line = clean.end()
        read += len(line)
        write(packer.compress(line) + packer.flush())
        if sealer:
            writer.write(sealer.end())
        writer.close()
    return Kept(source, key, read, writer.size, writer.sha256, keys.current_id if keys else "")


def _report(place: str, kept: list[Kept], missed: list[str], plain: tuple[str, ...]) -> Report:
    rows = tuple(
        (
            each.source.pod,
            each.source.container,
            "previous" if each.source.previous else "now",
            size(each.bytes),
            size(each.stored_bytes),
        )
        for each in kept
    )
    table = Table(columns=("pod", "container", "life", "bytes", "stored"), rows=rows, numeric=("bytes", "stored"))
    gone = Table(title="Could not be read", columns=("log",), rows=tuple((each,) for each in missed))
    total, stored = sum(each.bytes for each in kept), sum(each.stored_bytes for each in kept)
    summary = f"{count(len(kept), 'log')} ({size(total)}, {size(stored)} stored) are in {place}."
    if missed:
        summary += f" {count(len(missed), 'log')} could not be read."
    status = Status.FAIL if missed and not kept else Status.WARN if missed or plain else Status.OK
    if plain:
        summary += f" {plain[0]}"
    return Report(title="Log archive", status=status, summary=summary, sections=(table, *((gone,) if missed else ())))
