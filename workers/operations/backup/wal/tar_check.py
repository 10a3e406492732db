"""A base backup's tar, compared with the manifest that PostgreSQL puts in it, while it goes by.

pg_basebackup to standard output adds backup_manifest to the tar: each file's path, size and SHA-256, and a checksum of
the manifest itself (https://www.postgresql.org/docs/current/backup-manifest-format.html). What a tar lacks, or holds
changed, is found before the base is called one; and so is where its WAL begins and ends.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST: Final = "backup_manifest"
LABEL: Final = "backup_label"
PIECE: Final = 1 << 20
_START: Final = re.compile(r"^START WAL LOCATION: ([0-9A-F/]+) \(file ([0-9A-F]{24})\)", re.MULTILINE)
_CHECKPOINT: Final = re.compile(r"^CHECKPOINT LOCATION: ([0-9A-F/]+)", re.MULTILINE)
_AGAIN: Final = "Ask again: /mlflow backup base."


Content = bytes
"""Of a file: within the class below, `bytes` is how many."""


@dataclass(frozen=True)
class Checked:
    """A tar that is whole. starts, checkpoint, ends: positions in the WAL. files and bytes: of what it holds.

    manifest: PostgreSQL's.
    """

    starts: str
    checkpoint: str
    ends: str
    timeline: int
    files: int
    bytes: int
    manifest: Content = b""


@dataclass
class _Seen:
    sums: dict[str, tuple[int, str]] = field(default_factory=dict)
    manifest: bytes = b""
    label: str = ""
    bytes: int = 0


def check(tar: IO[bytes], moved: Callable[[int], None]) -> Checked:
    """Read a tar to its end. moved: is told the bytes of files so far. Raises OperatorError where it is not whole."""
    seen = _Seen()
    try:
        with tarfile.open(fileobj=tar, mode="r|", bufsize=PIECE) as files:
            for member in files:
                if member.isfile():
                    _read(files, member, seen)
                    moved(seen.bytes)
                    files.members = []  # type: ignore[attr-defined]  # it would keep a line for each file
    except tarfile.TarError as error:
        raise OperatorError(f"What pg_basebackup wrote is no whole tar: {error}.", _AGAIN) from None
    while tar.read(PIECE):
        pass
    return _compared(seen)


def _read(files: tarfile.TarFile, member: tarfile.TarInfo, seen: _Seen) -> None:
    content = files.extractfile(member)
    assert content is not None
    name = member.name.removeprefix("./")
    if name == MANIFEST:
        seen.manifest = content.read()
        return
    hashed = hashlib.sha256()
    while piece := content.read(PIECE):
        hashed.update(piece)
        if name == LABEL:
            seen.label += piece.decode("utf-8", "replace")
    seen.sums[name] = member.size, hashed.hexdigest()
    seen.bytes += member.size


def _compared(seen: _Seen) -> Checked:
    try:
        told: dict[str, Any] = json.loads(seen.manifest)
        ranges = told["WAL-Ranges"]
        wanted = {_path(each): (int(each["Size"]), str(each["Checksum"]).lower()) for each in told["Files"]}
        if any(each["Checksum-Algorithm"] != "SHA256" for each in told["Files"]):
            raise OperatorError("The base backup's manifest has other checksums than SHA-256.", _AGAIN)
        ends, timeline = str(ranges[-1]["End-LSN"]), int(ranges[-1]["Timeline"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise OperatorError("The base backup has no manifest, or one that cannot be read.", _AGAIN) from None
    # The checksum is over all before its own line.
    before, _, _ = seen.manifest.rpartition(b'"Manifest-Checksum"')
    if hashlib.sha256(before).hexdigest() != str(told.get("Manifest-Checksum")).lower():
        raise OperatorError("The base backup's manifest was changed on its way.", _AGAIN)
    other = sorted(name for name, what in wanted.items() if seen.sums.get(name) != what)
    if other:
        raise OperatorError(f"The base backup is not what its manifest says: {listed(other)} differ.", _AGAIN)
    start, checkpoint = _START.search(seen.label), _CHECKPOINT.search(seen.label)
    if start is None or checkpoint is None:
        raise OperatorError("The base backup doesn't say where its WAL starts.", _AGAIN)
    return Checked(start[1], checkpoint[1], ends, timeline, len(wanted), seen.bytes, seen.manifest)


def _path(entry: dict[str, Any]) -> str:
    # A name that is not UTF-8 is in hexadecimal.
    if "Path" in entry:
        return str(entry["Path"])
    return bytes.fromhex(entry["Encoded-Path"]).decode("utf-8", "surrogateescape")


class Tee:
    """A stream that passes on whatever is read of it."""

    def __init__(self, source: IO[bytes], passed: Callable[[bytes], None]) -> None:
        self._source, self._passed = source, passed

    def read(self, size: int) -> bytes:
        """Up to that many bytes; fewer at the end only."""
        pieces = []
        while size > 0 and (piece := self._source.read(size)):
            pieces.append(piece)
            size -= len(piece)
        whole = b"".join(pieces)
        if whole:
            self._passed(whole)
        return whole
