"""The text of somebody else's query, fit to be shown: what it does, without the values that it was given.

Values stand in quotes or behind dollars, and may be names of people, keys or passwords; numbers stay, they tell a
limit from a full scan.
"""

from __future__ import annotations

import re
from typing import Final

from workers.redaction import redacted

SHOWN: Final = 120
_VALUES: Final = re.compile(
    r"""(?isx)
      \$(?P<tag>[a-z_]\w*|)\$ .*? (?: \$(?P=tag)\$ | \Z )   # dollar quotes
    | \be' (?: [^'\\] | '' | \\. )* (?: ' | \Z )            # with escapes
    | ' (?: [^'] | '' )* (?: ' | \Z )                       # also one that was cut off
    """
)
_COMMENTS: Final = re.compile(r"/\*.*?(?:\*/|\Z)|--[^\n]*", re.DOTALL)


def shown(query: str) -> str:
    """One line of at most SHOWN characters."""
    bare = " ".join(redacted(_COMMENTS.sub(" ", _VALUES.sub("'…'", query))).split())
    return bare if len(bare) <= SHOWN else f"{bare[: SHOWN - 1]}…"
