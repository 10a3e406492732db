"""Where an artifact's bytes are kept: a key under objects/ that sorts as the artifact's own key does.

`objects/<key>!/<32 hexadecimal digits>`, the digits from key, etag, size, time and the set that it was copied for; as
an HMAC where the bytes are encrypted, so that nobody without the key can test a guess of what they are. So every
version of an artifact has a place of its own, and nothing is ever written where a sweep that runs at the same time has
seen bytes that nobody uses. Because the order is the same, a listing of the bucket, the listing of the kept bytes and
the listing of any set are walked side by side, each once and none in memory. Three things make that true:

- "!" sorts before everything that is left in a key: what sorts before "-" is written as "(" and two digits.
- An artifact of another bucket than the artifacts' own has that bucket's name before it, behind a "!", which no folder
  begins with. So all of these come first.
- Bundles, each the bytes of many small artifacts, are in a folder before all of these, `objects/!!/<32 digits>`.
- A key near S3's limit of 1,024 bytes (or with a name near a file system's 255) is cut where the next letter might not
  fit, whatever letter it is: a cut that looked at it would put a short letter behind and a long one before. Artifacts
  that are cut to the same folder are told apart by their digits, and form one group in the walk.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workers.operations.backup.encryption import Keys
    from workers.systems.s3.metadata import Listed

PREFIX: Final = "objects/"
OTHER: Final = "!"
"""Before the name of another bucket. It sorts before every folder: in these, what is lower than "-" is written so."""
END: Final = "!/"
BUNDLES: Final = f"{PREFIX}!{END}"
"""Before a bundle's digits: it sorts before all else, and makes one group of them."""
FOLDER_AT_MOST: Final = 900
"""Bytes of the folder's name; with prefix and digits it stays below S3's 1,024 (S3 user guide, object keys)."""
NAME_AT_MOST: Final = 250
"""Bytes between two slashes: stores that keep objects as files allow 255."""
_LETTER: Final = 4
"""Bytes of the longest letter as it is written: UTF-8's four, or "(" and two digits (RFC 3629, section 3)."""
_OURS: Final = re.compile(r"objects/.*!/[0-9a-f]{32}", re.DOTALL)
_LOW: Final = re.compile(r"[\x00-,]")


def kept(listed: Listed, set_name: str, keys: Keys | None = None) -> str:
    """The key under which bytes that were copied for that set are kept. keys: where they are encrypted."""
    identity = "\0".join((listed.key, listed.etag, str(listed.size), listed.last_modified, set_name))
    digits = keys.naming(identity) if keys else hashlib.sha256(identity.encode()).hexdigest()[:32]
    return f"{PREFIX}{place(listed)}{END}{digits}"


def bundle() -> str:
    """A new key for the bytes of many artifacts."""
    return f"{BUNDLES}{secrets.token_hex(16)}"


def bundled(kept_key: str) -> bool:
    """Whether that is a bundle's key."""
    return kept_key.startswith(BUNDLES)


def place(listed: Listed) -> str:
    """The folder of an artifact; of one in another bucket, one that begins with that bucket's name."""
    return f"{OTHER}{listed.bucket}/{folder(listed.key)}" if listed.bucket else folder(listed.key)


def order(bucket: str, key: str) -> tuple[bool, str, str]:
    """By this, listings are sorted as the folders are: other buckets first. bucket: empty for the artifacts' own."""
    return not bucket, f"{bucket}/", key


def folder(key: str) -> str:
    """The part that sorts as the key does: of two keys the lower has the lower folder, or the same."""
    written = _LOW.sub(lambda found: f"({ord(found[0]):02x}", key)
    return written if len(written.encode()) <= NAME_AT_MOST - _LETTER else _cut(written)


def group(kept_key: str) -> str:
    """What walks go by: the kept key up to the digits."""
    return kept_key.rpartition(END)[0]


def groups(listed: Iterable[Listed]) -> Iterator[tuple[str, Iterator[Listed]]]:
    """The groups of a listing of objects/, in order; what somebody else has put there is left out."""
    ours = (item for item in listed if _OURS.fullmatch(item.key))
    return groupby(ours, lambda item: group(item.key))


def _cut(written: str) -> str:
    """Its beginning up to where another letter might break a limit; what follows has no say, so the order stays."""
    whole, name, at = 0, 0, 0
    while at < len(written) and whole + _LETTER <= FOLDER_AT_MOST and name + _LETTER <= NAME_AT_MOST:
        unit = written[at : at + (3 if written[at] == "(" else 1)]
        length = len(unit.encode())
        whole += length
        name = 0 if unit == "/" else name + length
        at += len(unit)
    return written[:at]
