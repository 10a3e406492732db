"""Amounts of resources as Kubernetes writes them: ``500m``, ``2Gi``, ``1e3``."""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+)?([A-Za-z]*)")
_BINARY = {f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {unit: Fraction(1000) ** power for power, unit in enumerate(("n", "u", "m", "", *"kMGTPE"), start=-3)}
_FACTORS = _BINARY | _DECIMAL


def parse_quantity(text: str | float) -> Fraction:
    """Read an amount in its base unit (cores, bytes). Raises ValueError where it is none."""
    found = _FORM.fullmatch(str(text))
    if found is None or found.group(3) not in _FACTORS:
        message = f"no quantity: {text!r}"
        raise ValueError(message)
    factor: Fraction = _FACTORS[found.group(3)]
    return Fraction(found.group(1) + (found.group(2) or "")) * factor
