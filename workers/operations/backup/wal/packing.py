"""How what lies under wal/ is packed: compressed with Zstandard, then encrypted where there is a key.

Everything but a base's tar (stream.py) goes through here, so that what is done to bytes is done in one place. Where
there is a key, what is not encrypted with one of ours is never read: whoever can only write into the bucket can forge
no WAL, and cannot move it, since each object's name is authenticated with it. In pieces: memory does not grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from workers.errors import SetDamaged
from workers.operations.backup import encryption, sealing
from workers.operations.backup.encryption import Keys

if TYPE_CHECKING:
    import zstandard

    from workers.settings import Settings

SUFFIX: Final = ".zst"
LEVEL: Final = 3
_ANOTHER: Final = "Go back to a moment of another base, or use a backup."


class Packer:
    """Packs one object: what `add` and, at last, `end` return is what is to be stored, in that order."""

    def __init__(self, key: str, keys: Keys | None, *, level: int = LEVEL, threads: int = 0) -> None:
        """key: the object's in the bucket. keys: to encrypt with; None: it stays readable."""
        import zstandard

        self._sealer = sealing.Sealer(keys.current, key) if keys else None
        compressor = zstandard.ZstdCompressor(level=level, threads=threads, write_checksum=True)
        self._stream: zstandard.ZstdCompressionObj = compressor.compressobj()

    def add(self, piece: bytes | memoryview) -> bytes:
        """More of it."""
        made = self._stream.compress(piece)
        return self._sealer.add(made) if self._sealer and made else made

    def end(self) -> bytes:
        """It is whole."""
        made = self._stream.flush()
        return self._sealer.add(made) + self._sealer.end() if self._sealer else made


@dataclass(frozen=True)
class Packing:
    """keys: what is written with, and then nothing is read that is not encrypted. known: what can be read with."""

    keys: Keys | None = None
    known: Keys = encryption.NONE

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As backups' data is: backup.encrypt in ops.yaml, and the keys there are."""
        return cls(encryption.for_data(settings), Keys.all_of(settings))

    def packer(self, key: str) -> Packer:
        """For an object of that name."""
        return Packer(key, self.keys)

    def packed(self, content: bytes | memoryview, key: str) -> bytes:
        """A small object."""
        packer = self.packer(key)
        return packer.add(content) + packer.end()

    def unpacked(self, pieces: Iterable[bytes], key: str) -> Iterator[bytes]:
        """What was packed as `key`, piece by piece. Raises SetDamaged where it was changed or its end is missing; and
        WrongKey. What was given before that is of no use.
        """
        return decompressed(self._opened(iter(pieces), key), key)

    def document(self, content: bytes, key: str) -> bytes:
        """A document that a person may want to read: encrypted, or as it is."""
        return self.keys.encrypted(content, key) if self.keys else content

    def read(self, content: bytes, key: str) -> bytes:
        """A document as it was written. Raises SetDamaged, WrongKey."""
        return b"".join(self._opened(iter([content]), key))

    def _opened(self, pieces: Iterator[bytes], key: str) -> Iterator[bytes]:
        first = b""
        while len(first) < len(sealing.MAGIC) and (piece := next(pieces, b"")):
            first += piece
        if first.startswith(sealing.MAGIC):
            yield from self.known.opened(_again(first, pieces), key)
            return
        if self.keys:
            raise sealing.NotSealed(
                f"{key} is not encrypted, although there is a key: it was stored before, or someone else wrote it.",
                "Go back to a moment since there is a key: /mlflow backup base makes a new base.",
            )
        yield from _again(first, pieces)


def decompressed(pieces: Iterable[bytes], key: str) -> Iterator[bytes]:
    """What was compressed, piece by piece. Raises SetDamaged."""
    import zstandard

    stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        for piece in pieces:
            beyond = piece if stream.eof else b""
            given = b"" if stream.eof else stream.decompress(piece)
            if beyond or stream.unused_data:
                raise SetDamaged(f"{key} is damaged: it goes on after its end.", _ANOTHER)
            if given:
                yield given
    except zstandard.ZstdError:
        raise SetDamaged(f"{key} is damaged: its checksum is another.", _ANOTHER) from None
    if not stream.eof:
        raise SetDamaged(f"{key} is damaged: its end is missing.", _ANOTHER)


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
