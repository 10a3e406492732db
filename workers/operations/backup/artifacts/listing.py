"""The listing of a set: one JSON line for each artifact, in the order of keys, compressed in small frames.

What is read comes from a bucket that others may write to: nothing is unpacked in larger steps than fit into memory, and
where a manifest vouches for a listing, its checksum is compared before any of it is used.

Each frame (a thousand lines) carries its own checksum and is used only once that was right; the last line counts the
others. So a listing that was damaged or cut short is never taken for a shorter one: bytes that it still refers to
would be swept. While a set is being made, what was copied so far is in parts beside it; they go once the
whole listing is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import zstandard

from workers.errors import SetDamaged
from workers.operations.backup.artifacts import object_keys
from workers.operations.backup.encryption import NAME_END, NONE
from workers.systems.errors import ObjectMissing

if TYPE_CHECKING:
    from workers.operations.backup.encryption import Keys
    from workers.systems.s3.transfer import Transfer

NAME: Final = "artifacts.jsonl.zst"
NAMES: Final = (f"{NAME}{NAME_END}", NAME)
"""Encrypted and not."""
BASES: Final = "artifacts.previous.json"
_PART: Final = "artifacts.part-"
_LINES_IN_FRAME: Final = 1000
_FRAME_AT_MOST: Final = 32 * 1024 * 1024
_KINDS: Final = {"sha256", "md5", "sha256-parts", "md5-parts"}
_PART_AT_MOST: Final = 64 << 20
_PROOF: Final = "mlflow-ops-proof"
_STEP: Final = 512
"""Bytes that are decompressed at a time: zstd makes at most 128 KiB of 4 bytes (RFC 8878, RLE_Block), so 16 MiB."""
_BASES_AT_MOST: Final = 1 << 20
_LEVEL: Final = 3
_SHORT: Final = 16 << 20
"""Bytes of a listing that is kept in memory while its checksum is compared; a longer one is read twice."""


class ListingDamaged(SetDamaged):
    """A listing does not end, does not decompress, or is out of order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One artifact of a set.

    key, size, etag, last_modified: as the source listed it. kept: the key of its bytes. kind and checksum: what its
    bytes must give (sha256, md5; sha256-parts and md5-parts over parts of part_bytes). moves: content type, metadata
    and the like where the bytes do not carry them themselves and they are not the default. bucket: where that is
    another than the artifacts' own. key_id: of the key that its bytes are encrypted with, empty where they are not.
    stored: the length of what is kept then. locked_until: when what is kept may be removed, where that is locked.
    attributes: what it had besides, and does not get back (workers/systems/s3/attributes.py).
    at: where its bytes begin in what is kept, if that is a bundle, which holds those of others as well.
    """

    key: str
    size: int
    etag: str
    last_modified: str
    kept: str
    kind: str
    checksum: str
    part_bytes: int = 0
    moves: dict[str, Any] = field(default_factory=dict)
    bucket: str = ""
    key_id: str = ""
    stored: int = 0
    locked_until: str = ""
    at: int | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Its key; with its bucket, if that is another."""
        return f"s3://{self.bucket}/{self.key}" if self.bucket else self.key

    @property
    def kept_bytes(self) -> int:
        """The length of what is kept."""
        return self.stored if self.key_id else self.size

    @property
    def name(self) -> str:
        """What its bytes are encrypted as: their key; in a bundle, with where they begin."""
        return self.kept if self.at is None else f"{self.kept}+{self.at}"

    def line(self) -> bytes:
        """As it stands in the listing."""
        shown: dict[str, Any] = {
            "key": self.key,
            "size": self.size,
            "etag": self.etag,
            "last_modified": self.last_modified,
            "checksum": {self.kind: self.checksum},
            "kept": self.kept,
        }
        if self.part_bytes:
            shown["part_bytes"] = self.part_bytes
        if self.moves:
            shown["metadata"] = self.moves
        if self.bucket:
            shown["bucket"] = self.bucket
        if self.key_id:
            shown["encrypted"] = {"key_id": self.key_id, "bytes": self.stored}
        if self.at is not None:
            shown["at"] = self.at
        if self.attributes:
            shown["attributes"] = self.attributes
        if self.locked_until:
            shown["locked_until"] = self.locked_until
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def read(cls, found: dict[str, Any]) -> Entry:
        """From a line of the listing. Raises KeyError, ValueError and the like where it is none."""
        ((kind, checksum),) = found["checksum"].items()
        if not str(found["kept"]).startswith(object_keys.PREFIX) or kind not in _KINDS:
            raise ValueError(found["kept"])
        encrypted = found.get("encrypted") or {"key_id": "", "bytes": 0}
        at = found.get("at")
        if object_keys.bundled(found["kept"]) != (isinstance(at, int) and at >= 0 and bool(encrypted["key_id"])):
            raise ValueError(at)
        return cls(
            found["key"],
            found["size"],
            found["etag"],
            found["last_modified"],
            found["kept"],
            kind,
            checksum,
            found.get("part_bytes", 0),
            found.get("metadata", {}),
            found.get("bucket", ""),
            encrypted["key_id"],
            encrypted["bytes"],
            found.get("locked_until", ""),
            at,
            found.get("attributes", {}),
        )


class Frames:
    """Gathers lines and compresses them."""

    def __init__(self) -> None:
        """Empty."""
        self._lines: list[bytes] = []
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self.objects = 0
        self.bytes = 0

    def add(self, line: bytes, size: int) -> bytes:
        """Add an artifact of that size; a frame where one is full."""
        self._lines.append(line)
        self.objects += 1
        self.bytes += size
        return self._frame() if len(self._lines) == _LINES_IN_FRAME else b""

    def end(self) -> bytes:
        """What remains, and as a frame of its own the line that says how much there was."""
        rest = self._frame() if self._lines else b""
        self._lines.append(json.dumps({"end": True, "objects": self.objects, "bytes": self.bytes}).encode() + b"\n")
        return rest + self._frame()

    def _frame(self) -> bytes:
        frame = self._compressor.compress(b"".join(self._lines))
        self._lines.clear()
        return frame


def lines(name: str, pieces: Iterator[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each artifact's line of a compressed listing, parsed and as it stands.

    Raises ListingDamaged, naming the listing, before anything of the damaged part was given.
    """
    count, last = 0, object_keys.order("", "")
    for frame in _frames(name, pieces):
        for line in frame.splitlines(keepends=True):
            found = _parsed(name, line)
            if "end" in found:
                if found.get("objects") != count:
                    raise _damaged(name, f"has {count} lines and should have {found.get('objects')}")
                return
            following = _order(name, found)
            if count and following <= last:
                raise _damaged(name, "is not in the order of its keys")
            last = following
            count += 1
            yield found, line
    raise _damaged(name, "ends too early")


def key(transfer: Transfer, bucket: str, set_name: str) -> str:
    """The key of a set's listing in the bucket, encrypted or not. Raises ObjectMissing where the set has none."""
    for name in NAMES:
        if transfer.exists(bucket, f"{set_name}{name}"):
            return f"{set_name}{name}"
    raise ObjectMissing(f"The bucket {bucket} has no listing {set_name}{NAME}.", "See what is there: backup list.")


def entries(transfer: Transfer, bucket: str, name: str, sha256: str = "", keys: Keys = NONE) -> Iterator[Entry]:
    """The artifacts of one listing. sha256: that it must have, if a manifest says so: it is read once for that first.

    Raises ObjectMissing at once where there is none, ListingDamaged at once where it is another, or on the way;
    WrongKey.
    """
    return (_entry(name, found) for found, _ in lines(name, opened(transfer, bucket, name, sha256, keys)))


def opened(transfer: Transfer, bucket: str, name: str, sha256: str = "", keys: Keys = NONE) -> Iterator[bytes]:
    """The bytes of a listing, known to be those with that SHA-256 where one is given. Raises as `entries`."""
    try:
        described, pieces = transfer.open(bucket, name)
        if sha256 and described.size <= _SHORT:
            content = b"".join(_compared(name, pieces, sha256))
            pieces = iter((content,))
        elif sha256:
            for _ in _compared(name, pieces, sha256):
                pass
            # The very object that was read: another is refused by its etag, or at its end where the store ignores that.
            pieces = _compared(name, transfer.open(bucket, name, described.etag)[1], sha256)
    except ObjectMissing:
        raise ObjectMissing(f"The bucket {bucket} has no listing {name}.", "See what is there: backup list.") from None
    return keys.opened(pieces, name) if name.endswith(NAME_END) else pieces


def _compared(name: str, pieces: Iterator[bytes], sha256: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        yield piece
    if digest.hexdigest() != sha256:
        raise _damaged(name, "is not the one that its manifest names")


def _order(name: str, found: dict[str, Any]) -> tuple[bool, str, str]:
    bucket, key = found.get("bucket", ""), found.get("key")
    if not isinstance(bucket, str) or not isinstance(key, str) or not key:
        raise _damaged(name, "has a line that is no artifact's")
    return object_keys.order(bucket, key)


def _entry(name: str, found: dict[str, Any]) -> Entry:
    try:
        return Entry.read(found)
    except (KeyError, ValueError, TypeError, AttributeError):
        raise _damaged(name, "has a line that is no artifact's") from None


def part_name(set_name: str, number: int) -> str:
    """The key of a part of a set's listing, where it is not encrypted."""
    return f"{set_name}{_PART}{number:05d}.jsonl.zst"


def parts(transfer: Transfer, bucket: str, set_name: str) -> list[str]:
    """The keys of the parts that a set has, in order."""
    return [found.key for found in transfer.items(bucket, f"{set_name}{_PART}")]


def put_part(  # noqa: PLR0913 - what is written where, and how
    transfer: Transfer, bucket: str, name: str, body: bytes, keys: Keys | None, *, encrypt: bool
) -> None:
    """Write a part so that it is known to be ours: no manifest vouches for it yet. Raises ObjectsError.

    encrypt: with the keys, as `name` with an ending; else it has a proof beside it, where there are keys.
    """
    if keys and encrypt:
        name += NAME_END
        transfer.put(bucket, name, keys.encrypted(body, name))
        return
    said = (keys.proof(_named(name, body)), keys.current_id, keys.current.wrapped) if keys else ()
    transfer.put(bucket, name, body, {"Metadata": {_PROOF: " ".join(filter(None, said))}} if said else None)


def part(transfer: Transfer, bucket: str, name: str, keys: Keys | None) -> Iterator[bytes]:
    """The bytes of a part. keys: where there are some, only of one that is ours. Raises ListingDamaged, WrongKey."""
    described, pieces = transfer.open(bucket, name)
    if described.size > _PART_AT_MOST:
        raise _damaged(name, "is larger than what we write")
    if name.endswith(NAME_END):
        return (keys or NONE).opened(pieces, name)
    if keys is None:
        return pieces
    proof = str((described.moves.get("Metadata") or {}).get(_PROOF, ""))
    mac, of, wrapped, *_ = (*proof.split(" "), "", "", "")
    content = b"".join(pieces)
    if not keys.proves(of, mac, _named(name, content), wrapped):
        raise _damaged(name, "is not signed by us")
    return iter((content,))


def _named(name: str, body: bytes) -> bytes:
    return name.encode() + b"\0" + body


def bases(transfer: Transfer, bucket: str, set_name: str) -> tuple[str, ...]:
    """The sets on whose listings a set that is being made relies; none once its own is there."""
    try:
        content = transfer.objects.read(bucket, f"{set_name}{BASES}", at_most=_BASES_AT_MOST)
    except ObjectMissing:
        return ()
    if any(transfer.exists(bucket, f"{set_name}{name}") for name in NAMES):
        return ()
    try:
        return tuple(map(str, json.loads(content)["previous"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(f"{set_name}{BASES}", "cannot be read") from None


def used(transfer: Transfer, bucket: str, set_name: str, keys: Keys = NONE) -> Iterator[str]:
    """The keys of kept bytes that a set's listing, or the parts of an unfinished one, name; in order, a bundle's once.

    Raises ObjectMissing where the set has neither listing nor parts nor a beginning; WrongKey.
    """
    try:
        name = key(transfer, bucket, set_name)
    except ObjectMissing:
        found = parts(transfer, bucket, set_name)
        if not found and not transfer.exists(bucket, f"{set_name}{BASES}"):
            raise
        named: Iterator[Entry] = chain.from_iterable(entries(transfer, bucket, each, keys=keys) for each in found)
    else:
        named = entries(transfer, bucket, name, keys=keys)
    bundles = set[str]()
    for entry in named:
        if entry.kept in bundles:
            continue
        if entry.at is not None:
            bundles.add(entry.kept)
        yield entry.kept


def _frames(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflate = _inflating()
    current, frame, size = inflate.decompressobj(), [], 0
    for step in _steps(pieces):
        waiting = step
        while waiting:
            try:
                given = current.decompress(waiting)
            except zstandard.ZstdError:
                raise _damaged(name, "does not decompress") from None
            frame.append(given)
            size += len(given)
            if size > _FRAME_AT_MOST:
                raise _damaged(name, "does not decompress to what we write")
            waiting = b""
            if current.eof:
                waiting = current.unused_data
                yield b"".join(frame)
                current, frame, size = inflate.decompressobj(), [], 0


def _inflating() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(max_window_size=_FRAME_AT_MOST)


def _steps(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), _STEP):
            yield piece[start : start + _STEP]


def _parsed(name: str, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise _damaged(name, "has a line that is not JSON") from None
    if not isinstance(found, dict):
        raise _damaged(name, "has a line that is no artifact's")
    return found


def _damaged(name: str, how: str) -> ListingDamaged:
    return ListingDamaged(f"The listing {name} is damaged: it {how}.", "Use another set: backup list.")
