"""How long to wait on a busy machine: a second at rest is as many as there are processes for each processor."""

from __future__ import annotations

import os


def stretched(seconds: float) -> float:
    """So many seconds at rest, as they are at the load of the last minute; never fewer."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
