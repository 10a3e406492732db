"""Quantities: ``500m``, ``4Gi``, ``1e3``; read exactly, and written in the form that the API server chooses.

The canonical form has no fraction and the largest suffix that allows it: 0.5 → 500m, 4096Mi → 4Gi, 1000m → 1.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

PATTERN = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
MALFORMED = f"quantities must match the regular expression '{PATTERN}'"
UNPARSABLE = "unable to parse quantity's suffix"

_READ = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(|[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)$")
_BINARY = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "Pi": 1024**5, "Ei": 1024**6}
_DECIMAL = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(1000),
    "M": Decimal(10) ** 6, "G": Decimal(10) ** 9, "T": Decimal(10) ** 12, "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
}  # fmt: skip


def parse_quantity(text: object) -> Decimal:
    """Return the amount. Raises ValueError in the server's words."""
    written = str(text)
    found = _READ.match(written)
    if found is None:
        raise ValueError(UNPARSABLE if re.match(PATTERN, written) and _has_number(written) else MALFORMED)
    number, suffix = found.groups()
    if suffix in _BINARY:
        return Decimal(number) * _BINARY[suffix]
    if suffix[:1] in {"e", "E"} and len(suffix) > 1:
        return Decimal(number) * Decimal(10) ** int(suffix[1:])
    return Decimal(number) * _DECIMAL[suffix]


def canonical_quantity(text: object) -> str:
    """Return the canonical form. Raises ValueError in the server's words."""
    written = str(text)
    amount = parse_quantity(written)
    if written.endswith("i") and amount == amount.to_integral_value():
        return _largest(amount, {suffix: Decimal(size) for suffix, size in _BINARY.items()})
    if re.search(r"[eE][+-]?\d+$", written):
        return _exponent(amount)
    amount = amount.quantize(Decimal("1e-9"), rounding=ROUND_CEILING) if amount % Decimal("1e-9") else amount
    return _largest(amount, _DECIMAL)


def amount_text(name: str, amount: Decimal) -> str:
    """Write an amount in the unit that its resource's name suggests: memory in Mi and Gi, processors in m."""
    if name.endswith(("memory", "storage")) and amount == amount.to_integral_value():
        return canonical_quantity(f"{int(amount) // 1024}Ki") if amount % 1024 == 0 else str(int(amount))
    return canonical_quantity(format(amount.normalize(), "f"))


def _largest(amount: Decimal, sizes: dict[str, Decimal]) -> str:
    if amount == 0:
        return "0"
    for suffix, size in sorted(sizes.items(), key=lambda entry: -entry[1]):
        if amount % size == 0:
            return f"{int(amount / size)}{suffix}"
    return f"{int(amount)}"


def _exponent(amount: Decimal) -> str:
    exponent = 0
    while amount and amount % 1000 == 0:
        amount, exponent = amount / 1000, exponent + 3
    return f"{int(amount)}e{exponent}" if exponent else f"{int(amount)}"


def _has_number(written: str) -> bool:
    return re.match(r"^[+-]?(\d+\.?\d*|\.\d+)", written) is not None
