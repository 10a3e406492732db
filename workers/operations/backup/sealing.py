"""A stream encrypted in chunks as it goes: nothing of it can be cut off, exchanged, reordered or replayed.

    mlflow-ops-encrypted 1 {"name": …, "key_id": …, "salt": …}      one line, in UTF-8
    1 MiB of ciphertext, 16 bytes of proof                          chunk 0
    …
    at most 1 MiB of ciphertext, 16 bytes of proof                  the last one, which may be empty

Each stream has a key of its own: HKDF-SHA256 of the backup key, with the line's random salt. A chunk's nonce is its
number and whether it is the last (STREAM: https://eprint.iacr.org/2015/189); its associated data is the whole line, so
also the name that the object bears in the bucket. So a chunk opens in its place, in its stream, under its name, only.

Trap this avoids: a stream that was cut at a chunk's end looks whole unless the last chunk says that it is the last.
Memory is two chunks, whatever the length. Decisions/0017 says why this and no library's format.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Self

from workers.errors import OperatorError, SetDamaged

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"mlflow-ops-encrypted 1 "
CHUNK: Final = 1 << 20
PROOF: Final = 16
"""Bytes that AES-GCM adds."""
HEADER_AT_MOST: Final = 16 << 10
"""Bytes; a key of S3 has 1,024, which JSON may write sixfold."""
_PURPOSE: Final = b"mlflow-ops backup stream 1"
_SALT_BYTES: Final = 32
_SEALED: Final = CHUNK + PROOF
_NEIGHBORS: Final = 64
"""Chunks to both sides that one is looked for among, where it is not the one that should be there."""
_ANOTHER: Final = "Use another set: /mlflow backup list."


class NotSealed(SetDamaged):
    """What should be encrypted is not."""


class Moved(SetDamaged):
    """It is encrypted under another name: somebody moved or exchanged it."""


class Truncated(SetDamaged):
    """Its end is missing."""


class Reordered(SetDamaged):
    """A chunk is not in its place: exchanged with another of the stream, repeated or left out."""


class Altered(SetDamaged):
    """A chunk is not what was written: changed, of another stream, or beyond the end."""


@dataclass(frozen=True)
class Secret:
    """A key to seal with. id: what tells which one it is. wrapped: the key as only a key service can read it, or ""."""

    id: str
    key: bytes = field(repr=False)
    wrapped: str = field(default="", repr=False)


@dataclass(frozen=True)
class Header:
    """The first line of a stream. name: the object's key in the bucket. line: as it stands there."""

    name: str
    key_id: str
    salt: bytes
    wrapped: str
    line: bytes = field(repr=False)

    @classmethod
    def new(cls, secret: Secret, name: str) -> Self:
        """For an object of that name."""
        salt = secrets.token_bytes(_SALT_BYTES)
        shown = {"name": name, "key_id": secret.id, "salt": base64.b64encode(salt).decode()}
        if secret.wrapped:
            shown["data_key"] = secret.wrapped
        line = MAGIC + json.dumps(shown, ensure_ascii=False).encode() + b"\n"
        return cls(name, secret.id, salt, secret.wrapped, line)

    @classmethod
    def read(cls, line: bytes, where: str) -> Self:
        """From a stream's first line. where: the object, for people. Raises NotSealed."""
        try:
            shown: dict[str, Any] = json.loads(line.removeprefix(MAGIC)) if line.startswith(MAGIC) else {}
            salt = base64.b64decode(shown["salt"], validate=True)
            return cls(str(shown["name"]), str(shown["key_id"]), salt, str(shown.get("data_key", "")), line)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error):
            raise NotSealed(f"{where} is not encrypted, or not by this version of mlflow-ops.", _ANOTHER) from None


class Sealer:
    """Encrypts one stream: what `add` and, at last, `end` return is what is to be stored, in that order."""

    def __init__(self, secret: Secret, name: str) -> None:
        """name: the object's key in the bucket."""
        self._header = Header.new(secret, name)
        self._cipher = _cipher(secret.key, self._header)
        self._waiting = bytearray()
        self._begun = False
        self._number = 0

    def add(self, piece: bytes | bytearray | memoryview) -> bytes:
        """More of the stream; a chunk is sealed once something comes after it."""
        sealed = bytearray(self._begin())
        rest = memoryview(piece)
        while rest:
            if len(self._waiting) == CHUNK:
                sealed += self._seal(last=False)
            room = CHUNK - len(self._waiting)
            self._waiting += rest[:room]
            rest = rest[room:]
        return bytes(sealed)

    def end(self) -> bytes:
        """The stream is whole: its last chunk."""
        return self._begin() + self._seal(last=True)

    def _begin(self) -> bytes:
        begun, self._begun = self._begun, True
        return b"" if begun else self._header.line

    def _seal(self, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._number, last=last), self._waiting, self._header.line)
        self._number += 1
        self._waiting = bytearray()
        return sealed


def sealed(document: bytes, secret: Secret, name: str) -> bytes:
    """The whole document as a stream."""
    sealer = Sealer(secret, name)
    return sealer.add(document) + sealer.end()


def unsealed(pieces: Iterable[bytes], name: str, find: Callable[[Header], bytes]) -> Iterator[bytes]:
    """What was sealed as `name`, chunk by chunk; each is given only once it is known to be right.

    find: the key for a stream, by its header. Raises NotSealed, Moved, Truncated, Reordered, Altered, and what `find`
    raises. What was given before Truncated is the stream's beginning; use none of it where the whole is meant.
    """
    waiting = bytearray()
    coming = iter(pieces)
    header = _header(coming, waiting, name)
    if header.name != name:
        raise Moved(
            f"{name} is damaged: it holds what was written as {header.name[:200]}, so someone moved or exchanged it.",
            f"Someone who shouldn't can write to the bucket. {_ANOTHER}",
        )
    opening = _Opening(_cipher(find(header), header), header)
    for piece in chain((b"",), coming):  # first what came with the header: a piece may hold many chunks
        waiting += piece
        # One byte more than a chunk: only then is it not the last.
        while len(waiting) > _SEALED:
            with memoryview(waiting) as view:
                opened = opening.open(bytes(view[:_SEALED]), last=False)
            yield opened
            del waiting[:_SEALED]
    yield opening.open(bytes(waiting), last=True)


def _header(coming: Iterator[bytes], waiting: bytearray, name: str) -> Header:
    """Take the first line off a stream; what was read beyond it is in `waiting`."""
    while b"\n" not in waiting and len(waiting) < HEADER_AT_MOST:
        piece = next(coming, None)
        if piece is None:
            break
        waiting += piece
    end = waiting.find(b"\n", 0, HEADER_AT_MOST) + 1
    header = Header.read(bytes(waiting[:end]), name)
    del waiting[:end]
    return header


@dataclass
class _Opening:
    """Opens chunk after chunk, and says what is wrong with one that does not open."""

    cipher: AESGCM
    header: Header
    number: int = 0

    def open(self, chunk: bytes, *, last: bool) -> bytes:
        opened = self._tried(chunk, self.number, last=last)
        if opened is None:
            raise self._diagnosed(chunk, last=last)
        self.number += 1
        return opened

    def _tried(self, chunk: bytes, number: int, *, last: bool) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            return self.cipher.decrypt(_nonce(number, last=last), chunk, self.header.line)
        except (InvalidTag, ValueError):
            return None

    def _diagnosed(self, chunk: bytes, *, last: bool) -> OperatorError:
        here = f"{self.header.name} is damaged"
        if last and (len(chunk) < PROOF or self._tried(chunk, self.number, last=False) is not None):
            return Truncated(f"{here}: its end is missing, after {self.number} MiB.", _ANOTHER)
        for other in range(max(0, self.number - _NEIGHBORS), self.number + _NEIGHBORS):
            for mark in (False, True):
                if self._tried(chunk, other, last=mark) is not None and other != self.number:
                    return Reordered(f"{here}: where its chunk {self.number} belongs is chunk {other}.", _ANOTHER)
        if not last and self._tried(chunk, self.number, last=True) is not None:
            return Altered(f"{here}: it goes on after its end.", _ANOTHER)
        return Altered(f"{here}: chunk {self.number} is not what was written there.", _ANOTHER)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _cipher(key: bytes, header: Header) -> AESGCM:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(algorithm=hashes.SHA256(), length=32, salt=header.salt, info=_PURPOSE).derive(key))
