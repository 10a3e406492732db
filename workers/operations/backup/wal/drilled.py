"""The last drill of going back to a moment: what it measured, kept beside the WAL as drill.json."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from workers.operations.backup.wal.archive import Archive

NAME: Final = "drill.json"


class MomentDrill(BaseModel):
    """seconds: how long the recovery took. point_seconds: how old the newest possible moment was."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    moment: datetime
    at: datetime
    well: bool
    seconds: float
    point_seconds: float
    problem: str = ""


def note(there: Archive, done: MomentDrill) -> None:
    """Keep it. Raises ObjectsError."""
    there.write(f"{there.where.prefix}{NAME}", done.model_dump_json().encode())


def last(there: Archive) -> MomentDrill | None:
    """The last one; None where there was none. Raises ObjectsError; SetDamaged where someone else wrote it."""
    content = there.document(f"{there.where.prefix}{NAME}")
    try:
        return MomentDrill.model_validate_json(content) if content else None
    except ValidationError:
        return None
