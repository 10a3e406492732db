"""Room for a file on our own disk: what the disk has left, or what our container is still allowed, whichever is less.

The trap: in a pod the disk is the node's, and it has more left than the kubelet lets one pod take. A pod that takes
more is evicted in the middle of its work (https://kubernetes.io/docs/concepts/storage/ephemeral-storage/).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_BLOCK: Final = 512
"""Bytes of what st_blocks counts, whatever the file system (stat(2))."""


def free(folder: Path, allowed: int | None) -> int:
    """Bytes that a file in that folder, which is one for temporary files, may take.

    allowed: bytes that all temporary files of our container may take together; None where nobody has said.
    """
    left = shutil.disk_usage(folder).free
    if allowed is None:
        return left
    return max(0, min(left, allowed - _taken(Path(tempfile.gettempdir()))))


def _taken(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(where, name).lstat().st_blocks * _BLOCK
            except OSError:
                continue
    return total
