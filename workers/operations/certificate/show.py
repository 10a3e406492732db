"""What the Ingress's certificate says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from workers.operation import Operation, Progress, Risk
from workers.operations.certificate import details, shown
from workers.report import Report, Status

if TYPE_CHECKING:
    from workers.systems import Systems


class CertShow(Operation):
    """Show the certificate behind the Ingress."""

    name: ClassVar[str] = "cert-show"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it and judge it."""
        progress.step("Reading the certificate")
        behind = shown.Behind.of(systems)
        secret = shown.secret_of(systems, behind.secret)
        found = details.read(secret, behind.secret)
        status, sentence = shown.judged(systems, behind, secret, found)
        return Report(
            title="Certificate",
            status=status,
            summary=sentence,
            sections=shown.sections(behind, found, datetime.now(UTC)),
            hints=() if status is Status.OK else ("cert renew",),
        )
