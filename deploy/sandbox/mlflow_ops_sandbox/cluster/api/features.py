"""Parts of the cluster that can be there or not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Features:
    """What is installed now."""

    metrics: bool = True
    """Whether metrics-server is: without it the group is not in discovery, and its paths are 404."""
    cert_manager: bool = False
    """Whether cert-manager is: without it there is no kind Certificate, and nobody issues."""
