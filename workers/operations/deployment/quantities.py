"""Quantities as Kubernetes writes them: 500m, 2, 512Mi, 4Gi; and 25%."""

from __future__ import annotations

import math
from decimal import Decimal


def quantity(text: str) -> Decimal:
    """CPUs or bytes. Raises ValueError where it is none."""
    from kubernetes.utils.quantity import parse_quantity

    return Decimal(parse_quantity(text))  # type: ignore[no-untyped-call]


def share(text: str | int, whole: int, *, up: bool) -> int:
    """So many of a whole: a number, or a percentage that is rounded up or down."""
    if isinstance(text, int):
        return text
    part = Decimal(text.rstrip("%")) * whole / 100
    return math.ceil(part) if up else math.floor(part)
