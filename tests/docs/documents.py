"""What stands in the documents, for the tests that hold them to it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def blocks(document, language):
    """The fenced blocks in that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / document).read_text(), re.MULTILINE | re.DOTALL)


def rows(document, columns):
    """The rows of every table in it with so many columns, without heads and rules."""
    found = []
    for line in (DOCS / document).read_text().splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if line.startswith("|") and len(cells) == columns:
            found.append(cells)
    rules = [index for index, cells in enumerate(found) if set(cells[0]) == {"-"}]
    drop = {index for rule in rules for index in (rule - 1, rule)}
    return [cells for index, cells in enumerate(found) if index not in drop]
