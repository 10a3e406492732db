"""Quantities as Kubernetes writes them: 500m, 2, 512Mi, 4Gi."""

from __future__ import annotations

from decimal import Decimal


def quantity(text: str) -> Decimal:
    """CPUs or bytes. Raises ValueError where it is none."""
    from kubernetes.utils.quantity import parse_quantity

    return Decimal(parse_quantity(text))  # type: ignore[no-untyped-call]
