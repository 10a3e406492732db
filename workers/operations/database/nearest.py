"""A name that is not there gets the nearest one that is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(asked: str, known: Iterable[str], otherwise: str) -> str:
    """A question with the nearest name, or `otherwise`."""
    near = difflib.get_close_matches(asked, list(known), n=1, cutoff=0.5)
    return f"Did you mean “{near[0]}”?" if near else otherwise
