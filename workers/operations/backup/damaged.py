"""Kept bytes that a check found bad, noted in the bucket until a backup has copied them again.

A set keeps what earlier sets have. Without this note it would go on relying on bytes that are known to be lost. What
its artifact no longer has cannot be copied again: the sets that use it stay as they are, and `verify` names it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from workers.systems.errors import ObjectMissing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.systems.s3.objects import Objects

KEY: Final = "distrusted.json"
AT_MOST: Final = 16 << 20


def note(objects: Objects, bucket: str, keys: Iterable[str]) -> None:
    """Add keys of bytes that are bad. Raises ObjectsError."""
    known = {*noted(objects, bucket), *keys}
    objects.write(bucket, KEY, json.dumps(sorted(known)).encode())


def noted(objects: Objects, bucket: str) -> frozenset[str]:
    """The keys that are noted; none where the note is not readable. Raises ObjectsError."""
    try:
        found = json.loads(objects.read(bucket, KEY, at_most=AT_MOST))
    except (ObjectMissing, ValueError):
        return frozenset()
    return frozenset(str(each) for each in found) if isinstance(found, list) else frozenset()


def forget(objects: Objects, bucket: str) -> None:
    """They were copied again. Raises ObjectsError."""
    objects.delete(bucket, KEY)
