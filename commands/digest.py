"""Daily operations: the morning's digest, on demand."""

from __future__ import annotations

from commands.grammar import command
from workers.operations.digest.digest import Digest


@command("digest", examples=("digest",))
def digest() -> Digest:
    """How MLflow is this morning: what changed since yesterday, backups, what was done and what needs a person."""
    return Digest()
