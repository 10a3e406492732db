"""The section of CHANGELOG.md for a version, which is the text of its release.

python deploy/release/notes.py 0.1.0        prints it; exits with 1 if there is none, or if it is still "Unreleased"
python deploy/release/notes.py 0.1.0 --draft    also if it is
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

CHANGELOG: Final = Path(__file__).parents[2] / "CHANGELOG.md"


def section(version: str, *, draft: bool = False) -> str:
    """What stands under `## [version] - date`. Raises SystemExit if nothing does, or if it has no date."""
    text = CHANGELOG.read_text()
    found = re.search(rf"^## \[{re.escape(version)}\] - ([^\n]+)\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None or not found[2].strip():
        raise SystemExit(f"CHANGELOG.md says nothing of {version}")
    if not draft and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", found[1]):
        raise SystemExit(f"CHANGELOG.md: {version} has no date but {found[1]!r}")
    return found[2].strip()


if __name__ == "__main__":
    print(section(sys.argv[1].removeprefix("v"), draft="--draft" in sys.argv))  # noqa: T201 - the answer
