"""How much the artifacts of experiments take: of one by looking, of many as `storage` has found last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from workers.errors import OperatorError
from workers.operations.storage import cache
from workers.operations.storage.locations import prefix_of
from workers.settings import SettingsError
from workers.wording import count, size

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.storage.cache import Point
    from workers.systems import Systems

LOOK_SECONDS: Final = 10.0
_AT_ONCE: Final = 4


def latest(systems: Systems) -> Point | None:
    """What the last listing of the bucket has found, however old; None where there was none, or nobody can say."""
    try:
        found = cache.points(systems.redis, systems.settings.ops.storage.artifacts_bucket)
    except (SettingsError, RedisError):
        return None
    return found[-1] if found else None


def measure(systems: Systems, location: str, progress: Progress) -> str:
    """12 artifacts, 3.4 MiB; "at least …" where that took too long to list; empty where it is not in our bucket."""
    from workers.systems.s3.listing import Lister
    from workers.systems.s3.transfer import Transfer

    bucket = systems.settings.ops.storage.artifacts_bucket
    objects, held, whole = 0, 0, True
    ends = time.monotonic() + LOOK_SECONDS
    try:
        prefix = prefix_of(systems, location)
        with Transfer.of(systems.objects, _AT_ONCE) as transfer:
            for page in Lister(transfer, bucket, prefix=prefix).pages(_AT_ONCE):
                progress.checkpoint()
                objects += len(page.current)
                held += sum(length for _, length in page.current)
                if time.monotonic() > ends:
                    whole = False
                    break
    except (OperatorError, SettingsError):
        return ""
    return f"{'' if whole else 'at least '}{count(objects, 'artifact')}, {size(held)}"
