"""What the last drill gave: kept in the bucket of the backups, where health and the digest read it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.operations.backup import sets
from workers.systems.errors import ObjectMissing

if TYPE_CHECKING:
    from workers.systems.s3.objects import Objects

RECORD: Final = "drills/latest.json"
_AT_MOST: Final = 64 << 10


class DrillResult(BaseModel):
    """What the last drill gave. seconds: of restoring the database, its measured RTO. problem: empty where well.

    place: the bucket of the copy that was restored from; empty where it was the first place.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    set_id: str
    at: datetime
    well: bool
    seconds: float
    database_bytes: int = 0
    artifacts: int = 0
    problem: str = ""
    place: str = ""


def last(objects: Objects, bucket: str) -> DrillResult | None:
    """What the last drill gave; None where there was none. Raises ObjectsError."""
    try:
        return DrillResult.model_validate_json(objects.read(bucket, RECORD, at_most=_AT_MOST))
    except (ObjectMissing, ValidationError):
        return None


def note(objects: Objects, bucket: str, set_name: str, result: DrillResult) -> None:
    """Keep it as the last one, and beside the set as what is known of that. Raises ObjectsError."""
    keep(objects, bucket, result)
    marks = (sets.DRILL_FAILED, sets.DRILL_PASSED)
    mark, other = marks if not result.well else reversed(marks)
    told = {"at": result.at.isoformat(), "problem": result.problem}
    objects.write(bucket, f"{set_name}{mark}", json.dumps(told).encode())
    objects.delete(bucket, f"{set_name}{other}")


def keep(objects: Objects, bucket: str, result: DrillResult) -> None:
    """Keep it as the last one. Raises ObjectsError."""
    objects.write(bucket, RECORD, result.model_dump_json().encode())
