"""What was handed out for a while (trigger ids, response URLs), oldest first, and how the too old is forgotten."""

from __future__ import annotations

from itertools import takewhile
from typing import Protocol, TypeVar


class Made(Protocol):
    """Something that was handed out; `made` says when."""

    made: float


T = TypeVar("T", bound=Made)


def forget(handed_out: dict[str, T], *, before: float) -> None:
    """Drop what was made before that moment: looks no further than the first that was not."""
    for key in list(takewhile(lambda key: handed_out[key].made < before, handed_out)):
        del handed_out[key]
