"""Artifacts in a backup: each object's bytes kept once under objects/, each set a listing that refers to them.

`copy` makes a set's listing and copies what is new, `verify` looks whether it holds, `references` tells what it uses
and `sweep` removes what nothing uses. All work in constant memory, whatever the number of objects.
"""

from workers.operations.backup.artifacts.copying import Copied, copy
from workers.operations.backup.artifacts.listing import Entry, ListingDamaged
from workers.operations.backup.artifacts.object_copying import Tuning
from workers.operations.backup.artifacts.pairing import Wanted
from workers.operations.backup.artifacts.restoring import Difference, Restored, compare, restore
from workers.operations.backup.artifacts.sweeping import Swept, references, sweep
from workers.operations.backup.artifacts.verifying import Verified, verify

__all__ = [
    "Copied",
    "Difference",
    "Entry",
    "ListingDamaged",
    "Restored",
    "Swept",
    "Tuning",
    "Verified",
    "Wanted",
    "compare",
    "copy",
    "references",
    "restore",
    "sweep",
    "verify",
]
