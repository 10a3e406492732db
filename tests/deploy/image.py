"""The Dockerfile as its stages: what it says, and what each image is made by."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
TARGETS = ("bot", "worker")


def instructions():
    """Each as (word, all that follows on one line)."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [tuple(line.split(" ", 1)) for line in joined.splitlines() if line.strip()]


def stages():
    """Name → its instructions, after those of the stage that it begins with."""
    found = {}
    for word, rest in instructions():
        if word == "FROM":
            above, _, name = rest.partition(" AS ")
            found[name] = list(found.get(above, ()))
        elif found:
            found[name].append((word, rest))
    return found
