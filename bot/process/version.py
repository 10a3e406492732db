"""Which version this is, and from which commit it was made.

The version is the package's own. The commit is a line in `revision.txt`, which whoever builds a wheel or an image puts
beside this file; a checkout has none, since there git knows better.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

_REVISION: Final = Path(__file__).with_name("revision.txt")
UNKNOWN: Final = "unknown"


def revision() -> str:
    """The commit that this was made from, in hexadecimal; empty if nobody said."""
    try:
        said = _REVISION.read_text().strip()
    except FileNotFoundError:
        return ""
    return "" if said == UNKNOWN else said


def text() -> str:
    """In one line, as `mlflow-ops --version` prints it."""
    made_from = revision()
    return f"mlflow-ops {version('mlflow-ops')}" + (f" (revision {made_from[:12]})" if made_from else "")
