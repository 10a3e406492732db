"""The most memory that this process ever held, for measurements made in a process of their own."""

import resource
import sys
from pathlib import Path


def peak_memory():
    """Bytes. Linux hands getrusage's figure on from the parent through exec (`setmax_mm_hiwater_rss`), so the
    address space's own is read there: proc(5), VmHWM. macOS counts getrusage's in bytes, and from nothing."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
