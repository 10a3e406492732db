"""The last drill of going back to a moment: what it measured, kept beside the WAL as drill.json."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.systems.errors import ObjectMissing

if TYPE_CHECKING:
    from workers.operations.backup.wal.places import Places
    from workers.systems.s3.objects import Objects

NAME: Final = "drill.json"
AT_MOST: Final = 64 << 10


class MomentDrill(BaseModel):
    """seconds: how long the recovery took. point_seconds: how old the newest possible moment was."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    moment: datetime
    at: datetime
    well: bool
    seconds: float
    point_seconds: float
    problem: str = ""


def note(objects: Objects, bucket: str, where: Places, done: MomentDrill) -> None:
    """Keep it. Raises ObjectsError."""
    objects.write(bucket, f"{where.prefix}{NAME}", done.model_dump_json().encode())


def last(objects: Objects, bucket: str, where: Places) -> MomentDrill | None:
    """The last one; None where there was none. Raises ObjectsError."""
    try:
        return MomentDrill.model_validate_json(objects.read(bucket, f"{where.prefix}{NAME}", at_most=AT_MOST))
    except (ObjectMissing, ValidationError):
        return None
