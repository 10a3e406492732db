"""Whether kept bytes are in the bucket, asked in the order of a set's listing, beside one listing of objects/.

Both are in the same order, so each is walked once and neither is in memory, save the bundles: these come first, and
hold thousands of artifacts for each line here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from workers.operations.backup.artifacts import object_keys

if TYPE_CHECKING:
    from workers.systems.s3.metadata import Listed


class Presence:
    """What is kept. listed: the objects under objects/, in order; asked for as it is needed."""

    def __init__(self, listed: Iterable[Listed]) -> None:
        """Nothing is read yet."""
        self._groups = object_keys.groups(listed)
        self._bundles: dict[str, int] | None = None
        self._place = ""
        self._there: dict[str, int] = {}

    def problem(self, kept: str, length: int, at: int | None = None) -> str:
        """What is wrong with bytes of that length under that key; empty if nothing is. at: where in a bundle they are.

        Keys come in the order of the artifacts'; those of bundles at any time.
        """
        size = self._bundle(kept) if at is not None else self._object(kept)
        if size is None:
            return "its bytes are missing"
        if at is None and size != length:
            return f"{size:,} bytes are kept of {length:,}"
        if at is not None and size < at + length:
            return f"{size:,} bytes are kept of at least {at + length:,}"
        return ""

    def _bundle(self, kept: str) -> int | None:
        if self._bundles is None:
            self._step()
        return (self._bundles or {}).get(kept)

    def _object(self, kept: str) -> int | None:
        wanted = object_keys.group(kept)
        while self._place < wanted:
            if not self._step():
                self._place, self._there = wanted, {}
        return self._there.get(kept) if self._place == wanted else None

    def _step(self) -> bool:
        """On to the next group; whether there is one."""
        place, items = next(self._groups, ("", iter(())))
        there = {item.key: item.size for item in items}
        if self._bundles is None:
            bundles = place == object_keys.group(object_keys.BUNDLES)
            self._bundles = there if bundles else {}
        self._place, self._there = place, there
        return bool(place)
