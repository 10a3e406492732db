"""A log as others may keep it: secrets blotted out line by line, as its bytes come, in constant memory.

Traps this avoids: a secret may straddle two pieces of the stream, so only whole lines are judged; a private key is many
lines, of which only the first and the last say what they are, so all between them goes too; and a line without an end
would be held for ever, so the rest of a long one is left out, and the line says how much.
"""

from __future__ import annotations

from typing import Final

from workers.redaction import one_line
from workers.wording import size

LINE_AT_MOST: Final = 256 << 10
"""Bytes of a line that are kept."""
KEY_LINES_AT_MOST: Final = 200
"""After which what began like a private key is taken for something else; a key of 16,384 bits has 197."""
_BEGIN: Final = b"-----BEGIN "
_END: Final = b"-----END "
_KEY: Final = b"PRIVATE KEY-----"


class Redacting:
    """What `add` and, at last, `end` return is what may be kept, in that order."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._dropped = 0
        self._key_lines = 0

    def add(self, piece: bytes) -> bytes:
        """More of the log; a line is given once it has come to its end."""
        *whole, begun = piece.split(b"\n")
        kept = bytearray()
        for part in whole:
            self._hold(part)
            kept += self._told() + b"\n"
        self._hold(begun)
        return bytes(kept)

    def end(self) -> bytes:
        """The log is at its end: what of its last line may be kept."""
        return self._told() if self._line else b""

    def _hold(self, part: bytes) -> None:
        room = LINE_AT_MOST - len(self._line)
        self._line += part[:room]
        self._dropped += max(0, len(part) - room)

    def _told(self) -> bytes:
        line, dropped = bytes(self._line), self._dropped
        self._line, self._dropped = bytearray(), 0
        if self._in_a_key(line):
            return b"***"
        told = one_line(line.decode("utf-8", "replace"))
        return (told + (f" … ({size(dropped)} left out)" if dropped else "")).encode()

    def _in_a_key(self, line: bytes) -> bool:
        """Whether the line is one of a private key that has more of them."""
        ends = _END in line and _KEY in line[line.rfind(_END) :]
        begins = not ends and _BEGIN in line and _KEY in line[line.rfind(_BEGIN) :]
        inside = 0 < self._key_lines < KEY_LINES_AT_MOST
        self._key_lines = 1 if begins else self._key_lines + 1 if inside and not ends else 0
        return begins or inside
