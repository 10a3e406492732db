"""The licenses of what is shipped, from its bill of materials, against those that we may ship.

    python deploy/release/licenses.py mlflow-ops.cdx.json

Prints a line a component. Exits with 1 if one has a license that is not allowed, or none that is known.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

ALLOWED: Final = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CNRI-Python", "HPND", "ISC", "MIT", "MIT-CMU", "MPL-2.0",
    "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
}  # fmt: skip
"""By their SPDX identifiers: permissive ones, and the Mozilla licence, which asks for its own files only."""

LIBRARIES: Final[dict[str, str]] = {}
"""Component → a license that is allowed for it alone, with why."""

WRITTEN: Final = {
    "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0", "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0", "apache-2.0 license": "Apache-2.0", "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause", "3-clause bsd license": "BSD-3-Clause", "bsd 3-clause": "BSD-3-Clause",
    "isc license": "ISC", "mit license": "MIT", "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0", "zpl 2.1": "ZPL-2.1", "zope public license": "ZPL-2.1",
}  # fmt: skip
"""What authors write, in lower case → the identifier."""


def licenses(component: dict[str, Any]) -> list[set[str]]:
    """What a component may be used under: one of each set, all sets together. Empty if nothing is said."""
    said = []
    for each in component.get("licenses") or ():
        license_ = each.get("license", {})
        text = each.get("expression") or license_.get("id") or license_.get("name", "")
        said += [text.removeprefix("License :: OSI Approved :: ")] if len(text) < _A_TEXT else []
    found = []
    for text in said:
        for part in re.split(r"\bAND\b", text):
            choices = re.split(r"\bOR\b|\bor\b", part.replace("(MPL 2.0)", "\0").strip("() "))
            found.append({_identifier(each.replace("\0", "(MPL 2.0)")) for each in choices})
    return found


_A_TEXT: Final = 200
"""Characters; more is the license itself instead of its name."""


def _identifier(written: str) -> str:
    plain = written.strip("() ")
    return WRITTEN.get(plain.lower(), WRITTEN.get(written.strip().lower(), plain.split(" WITH ")[0]))


def refusals(bill: dict[str, Any]) -> list[str]:
    """Each component that may not be shipped, and why."""
    wrong = []
    for each in bill["components"]:
        allowed = ALLOWED | {LIBRARIES[each["name"]]} if each["name"] in LIBRARIES else ALLOWED
        found = licenses(each)
        if not found:
            wrong.append(f"{each['name']} {each['version']}: no license")
        wrong += [f"{each['name']} {each['version']}: {' or '.join(sorted(s))}" for s in found if not s & allowed]
    return wrong


def main() -> None:
    """Print them all, then those that may not be shipped."""
    bill = json.loads(Path(sys.argv[1]).read_text())
    for each in sorted(bill["components"], key=lambda one: one["name"].lower()):
        said = " and ".join(" or ".join(sorted(choices)) for choices in licenses(each))
        print(f"{each['name']} {each['version']}: {said or 'unknown'}")  # noqa: T201 - the answer
    wrong = refusals(bill)
    if wrong:
        raise SystemExit("not allowed:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
