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
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "HPND", "ISC", "MIT", "MIT-0",
    "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "ZPL-2.1", "Zlib",
}  # fmt: skip
"""By their SPDX identifiers: permissive ones, and the Mozilla license, which asks for its own files only."""

_LESSER: Final = {"LGPL-3.0-only", "LGPL-3.0-or-later"}
LIBRARIES: Final = {"psycopg": _LESSER, "psycopg-binary": _LESSER, "PyGithub": _LESSER, "python-gitlab": _LESSER}
"""Allowed for these alone: libraries that are shipped as they are and imported at run time, so whoever has the image
can put another version in their place, which is what the Lesser GPL asks for.
"""

UNSAID: Final = {"protobuf": "BSD-3-Clause"}
"""Components of which the bill names no license: what their packages say in a file of their own."""

WRITTEN: Final = {
    "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0", "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0", "apache-2.0 license": "Apache-2.0", "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause", "3-clause bsd license": "BSD-3-Clause", "bsd 3-clause": "BSD-3-Clause",
    "gnu library or lesser general public license (lgpl)": "LGPL-3.0-only", "isc license": "ISC", "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0", "python software foundation license": "PSF-2.0",
    "zpl 2.1": "ZPL-2.1", "zope public license": "ZPL-2.1",
}  # fmt: skip
"""What authors write, in lower case → the identifier."""

_A_NAME: Final = 200
"""Characters; more is the license itself instead of its name."""


def licenses(component: dict[str, Any]) -> list[set[str]]:
    """What a component may be used under: one of each set, all sets together. Empty if nothing is said."""
    found: list[set[str]] = []
    for each in component.get("licenses") or ():
        said = each.get("license", {})
        text = each.get("expression") or said.get("id") or said.get("name", "")
        if len(text) > _A_NAME:
            continue
        plain = text.removeprefix("License :: OSI Approved :: ")
        for part in re.split(r"\bAND\b", plain):
            choices = {_identifier(choice) for choice in re.split(r"\bOR\b", part)}
            found += [choices] if choices not in found else []
    unsaid = UNSAID.get(component["name"])
    return found or ([{unsaid}] if unsaid else [])


def _identifier(written: str) -> str:
    plain = written.strip()
    known = WRITTEN.get(plain.lower())
    return known or plain.strip("() ").split(" WITH ")[0]


def refusals(bill: dict[str, Any]) -> list[str]:
    """Each component that may not be shipped, and why."""
    wrong = []
    for each in bill["components"]:
        allowed = ALLOWED | LIBRARIES.get(each["name"], set())
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
