"""Amounts as Kubernetes writes them: 500m, 2, 512Mi, 4Gi; and 25% of something.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import math
from decimal import Decimal

from workers.systems.errors import Nonsense


def quantity(text: str) -> Decimal:
    """CPUs or bytes. Raises Nonsense."""
    from kubernetes.utils.quantity import parse_quantity

    try:
        number = Decimal(parse_quantity(text))  # type: ignore[no-untyped-call]
    except ValueError:
        number = Decimal("NaN")
    if not math.isfinite(number):
        raise Nonsense(f"Kubernetes answered {text[:40]!r} where an amount of CPU or memory was expected.")
    return number


def share(text: str | int, whole: int, *, up: bool) -> int:
    """So many of a whole: a number, or a percentage that is rounded up or down."""
    if isinstance(text, int):
        return text
    part = Decimal(text.rstrip("%")) * whole / 100
    return math.ceil(part) if up else math.floor(part)
