"""How what lies under wal/ is packed: compressed with Zstandard, in pieces, so that memory does not grow.

Everything that is written there and read from there goes through here: what is done to bytes beyond compressing them
is done in this module, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from workers.errors import SetDamaged

if TYPE_CHECKING:
    import zstandard

SUFFIX: Final = ".zst"
LEVEL: Final = 3
QUICK: Final = 1
"""For a base backup, which is long."""


class Packer:
    """Packs one object: what `add` and, at last, `end` return is what is to be stored, in that order."""

    def __init__(self, key: str, *, level: int = LEVEL, threads: int = 0) -> None:
        """key: the object's in the bucket."""
        import zstandard

        self.key = key
        compressor = zstandard.ZstdCompressor(level=level, threads=threads, write_checksum=True)
        self._stream: zstandard.ZstdCompressionObj = compressor.compressobj()

    def add(self, piece: bytes | memoryview) -> bytes:
        """More of it."""
        return self._stream.compress(piece)

    def end(self) -> bytes:
        """It is whole."""
        return self._stream.flush()


def packed(content: bytes | memoryview, key: str) -> bytes:
    """A small object."""
    packer = Packer(key)
    return packer.add(content) + packer.end()


def unpacked(pieces: Iterable[bytes], key: str) -> Iterator[bytes]:
    """What was packed as `key`, piece by piece. Raises SetDamaged where it was changed or its end is missing.

    What was given before that is of no use.
    """
    import zstandard

    stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        for piece in pieces:
            if stream.eof:
                raise SetDamaged(f"{key} is damaged: it goes on after its end.", "Use another base, or a backup.")
            if given := stream.decompress(piece):
                yield given
    except zstandard.ZstdError:
        raise SetDamaged(f"{key} is damaged: its checksum is another.", "Use another base, or a backup.") from None
    if not stream.eof:
        raise SetDamaged(f"{key} is damaged: its end is missing.", "Use another base, or a backup.")
