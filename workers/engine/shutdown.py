"""A worker that was asked to end tells the command that it runs, and that one stops at a safe point or ends by itself.

RQ's own answer to SIGTERM is to wait for the job, however long; Kubernetes kills after the pod's grace period, and what
was killed can only be looked at. So the work-horse hears of it: what can be taken up where it stopped (`resumes`) goes
to another worker at its next checkpoint; anything else has MLFLOW_OPS_GRACE_SECONDS to end by itself, and is stopped at
the first checkpoint after that.

The two processes share a page of memory: a signal could come before its handler stands, and Redis may be what is
restarted.
"""

from __future__ import annotations

import mmap
import struct
import time
from typing import Final

_TIME: Final = struct.Struct("d")
_page: Final = mmap.mmap(-1, _TIME.size)
"""Anonymous and shared: what the worker writes after the fork, its work-horse reads."""


def begin() -> None:
    """This worker was asked to end, now."""
    _TIME.pack_into(_page, 0, time.monotonic())


def forget() -> None:
    """It was not asked: for tests, which are a worker and its work-horse in one process."""
    _TIME.pack_into(_page, 0, 0.0)


def since() -> float | None:
    """Seconds since it was asked to end; None where it was not."""
    (at,) = _TIME.unpack_from(_page, 0)
    return time.monotonic() - at if at else None


def should_stop(*, resumes: bool, grace_seconds: float) -> bool:
    """Whether what runs here stops at this checkpoint."""
    asked = since()
    return asked is not None and (resumes or asked >= grace_seconds)
