"""Daily operations: the morning's digest, on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.grammar import command

if TYPE_CHECKING:
    from workers.operation import Operation


@command("digest", examples=("digest",))
def digest() -> Operation:
    """How MLflow is this morning: what changed since yesterday, backups, what was done and what needs a person."""
    from workers.operations.digest.digest import Digest

    return Digest()
