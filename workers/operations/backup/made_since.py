"""What a backup whose worker died has made: a set whose manifest is there is a backup, and no other is."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from workers.errors import AlreadySo
from workers.operations.backup import sets, signing

if TYPE_CHECKING:
    from workers.operation import Plan
    from workers.systems import Systems


def aftermath(systems: Systems, planned: Plan) -> str:
    """That there is no set, as a sentence or two. Raises AlreadySo where there is a finished one, and ObjectsError."""
    if made := _newest(systems, planned):
        raise AlreadySo(f"The backup {made.id} is finished: see /mlflow backup show {made.id}.")
    return "There is no new backup. What it had copied is taken up, or swept, by the next one."


def _newest(systems: Systems, planned: Plan) -> sets.Found | None:
    """The newest finished set that was begun after the backup was planned."""
    if "at" not in planned.seen:
        return None
    at = datetime.fromisoformat(str(planned.seen["at"]))
    bucket = systems.settings.ops.storage.backups_bucket
    for name in reversed(sets.names(systems.backups, bucket)):
        if sets.begun(name) < at:
            return None
        found = sets.look(systems.backups, bucket, name, signing.Trust.of(systems.settings))
        if found.manifest is not None:
            return found
    return None
