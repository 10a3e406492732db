"""Renew the certificate the way `cmctl renew` does: the condition Issuing on the status of cert-manager's Certificate.

That is what cert-manager's controllers wait for (https://cert-manager.io/docs/reference/cmctl/#renew); the annotation
cert-manager.io/issue-temporary-certificate on an Ingress asks for a stopgap at the first issuance and renews nothing.
The whole status is written with the Certificate's resourceVersion, so that no condition of cert-manager's is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from workers.errors import OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.certificate.details import KEY_MATCHES, Details, read
from workers.operations.certificate.show import IngressCertificate, read_secret, sections, verdict
from workers.operations.deployment import ownership, permission
from workers.report import Report, Status, Table
from workers.systems.cluster.annotations import timestamp
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterConflict, ClusterNotFound, ClusterUnavailable, ClusterUnreachable, Nonsense
from workers.wording import count, listed, moment

if TYPE_CHECKING:
    from workers.settings import Ops
    from workers.systems import Systems

WAIT_SECONDS: Final = 300.0
"""An ACME issuer answers a challenge first; cert-manager's own docs speak of minutes."""
LOOK_SECONDS: Final = 0.5
ATTEMPTS: Final = 5
ISSUING: Final = "Issuing"


class CertRenew(Operation):
    """Have cert-manager issue a new certificate now."""

    name: ClassVar[str] = "cert-renew"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("certificate",)
    timeout_seconds: ClassVar[int] = 420

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - always, where ops.yaml says nothing of it
        """Every visitor sees it, and public issuers count renewals."""
        return True

    def plan(self, systems: Systems) -> Plan:
        """Which certificate, by whom. Raises OperatorError where cert-manager does not issue it."""
        served = IngressCertificate.of(systems)
        certificate = _certificate(systems, served.secret)
        if certificate.issuing and certificate.issuing.text("status") == "True":
            said = certificate.issuing.text("message", default="no message")
            raise OperatorError(f"cert-manager is renewing {certificate.name} already: {said}.", "/mlflow cert show")
        permission.require(systems, "update", "cert-manager.io", "certificates/status", certificate.name)
        before = _held(systems, served.secret)
        return Plan(
            title="Renew the certificate",
            summary=f"{certificate.name}, by {certificate.issuer}",
            steps=(
                f"Set the condition Issuing of certificate/{certificate.name}, as cmctl renew does",
                f"Wait until cert-manager has put a certificate of another serial number into secret/{served.secret}",
                "Check its dates, its hosts and its key",
            ),
            changes=(
                Change(
                    what=f"certificate in secret/{served.secret}",
                    before=_in_short(before) if before else "none",
                    after=f"a new one from {certificate.issuer}",
                ),
            ),
            warnings=(*_warnings(certificate, before), *ownership.of_renewal(_whole(certificate.item))),
            undo="none is needed: both certificates stay valid until their end",
            facts={"certificate": certificate.name, "revision": certificate.revision},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask, wait for the new serial number, and check what came."""
        served = IngressCertificate.of(systems)
        before = _held(systems, served.secret)
        progress.step("Asking cert-manager for a new certificate", of="Set the condition")
        name = _ask(systems, served.secret)
        progress.step(f"Waiting for cert-manager to issue {name}", of="Wait until cert-manager")
        after, why = _await(systems, progress, served.secret, before)
        if after is None:
            still = f"The one before is still in place: {_in_short(before)}." if before else ""
            return Report(
                title="Renew the certificate",
                status=Status.FAIL,
                summary=f"cert-manager has not issued a new certificate: {why}. {still}".strip(),
                hints=("cert show",),
            )
        progress.step("Checking what came", of="Check its dates")
        secret = read_secret(systems, served.secret)
        status, sentence = verdict(systems, served, secret, after)
        was = f" (was {before.serial}, until {moment(before.certificate.ends)})" if before else ""
        summary = f"The new certificate has the serial number {after.serial}, until "
        summary += f"{moment(after.certificate.ends)}{was}."
        return Report(
            title="Renew the certificate",
            status=status,
            summary=summary if status is Status.OK else f"{summary} {sentence}",
            sections=(_compared(before, after), *sections(served, after, datetime.now(UTC))),
            hints=("cert show",),
        )


@dataclass(frozen=True)
class _Certificate:
    """cert-manager's Certificate. issuing, ready: those conditions, where it has them."""

    item: dict[str, Any]
    name: str
    issuer: str
    revision: int
    issuing: Fields | None
    ready: Fields | None

    @classmethod
    def of(cls, item: dict[str, Any]) -> _Certificate:
        fields = Fields(item, "Certificate")
        conditions = {each.text("type"): each for each in fields.each("status", "conditions")}
        kind = fields.text("spec", "issuerRef", "kind", default="Issuer")
        return cls(
            item=item,
            name=fields.text("metadata", "name"),
            issuer=f"{kind} {fields.text('spec', 'issuerRef', 'name')}",
            revision=fields.number("status", "revision"),
            issuing=conditions.get(ISSUING),
            ready=conditions.get("Ready"),
        )


def _certificate(systems: Systems, secret: str) -> _Certificate:
    """The one Certificate that writes the Secret. Raises OperatorError where there is none, or more than one."""
    namespace = systems.settings.ops.kubernetes.namespace
    try:
        found = systems.cluster.certificates()
    except ClusterNotFound:
        raise OperatorError(
            "cert-manager is not installed in this cluster: it has no kind Certificate.",
            f"Have the certificate renewed by its issuer, and put it into the Secret {secret}.",
        ) from None
    ours = [item for item in found if Fields(item, "Certificate").text("spec", "secretName") == secret]
    if not ours:
        others = ", ".join(_Certificate.of(item).name for item in found)
        raise OperatorError(
            f"No Certificate of cert-manager in {namespace} writes the Secret {secret}.",
            f"There are: {others}." if others else "There is no Certificate there at all.",
        )
    if len(ours) > 1:
        rivals = listed(_Certificate.of(item).name for item in ours)
        message = f"{count(len(ours), 'Certificate')} write the Secret {secret}: {rivals}."
        raise OperatorError(message, "Remove all but one; cert-manager lets none of them issue.")
    return _Certificate.of(ours[0])


def _held(systems: Systems, secret: str) -> Details | None:
    """What the Secret holds; None where there is no Secret, or no certificate in it."""
    try:
        return read(systems.cluster.secret(secret), secret)
    except (ClusterNotFound, Nonsense):
        return None


def _in_short(details: Details) -> str:
    return f"serial {details.serial}, until {moment(details.certificate.ends)}"


def _warnings(certificate: _Certificate, before: Details | None) -> tuple[str, ...]:
    told = []
    if certificate.ready and certificate.ready.text("status") != "True":
        told.append(f"cert-manager says of it now: {certificate.ready.text('message')}.")
    if before and "Let's Encrypt" in before.certificate.issuer:
        told.append("Let's Encrypt issues the same names 5 times in 7 days (letsencrypt.org/docs/rate-limits).")
    return tuple(told)


def _ask(systems: Systems, secret: str) -> str:
    """Set the condition; the Certificate's name. A conflict over something else is tried again."""
    for _ in range(ATTEMPTS):
        certificate = _certificate(systems, secret)
        fields = Fields(certificate.item, "Certificate")
        condition = {
            "type": ISSUING,
            "status": "True",
            "reason": "ManuallyTriggered",
            "message": "Certificate re-issuance manually triggered",
            "lastTransitionTime": timestamp(),
            "observedGeneration": fields.number("metadata", "generation"),
        }
        status = certificate.item.get("status") or {}
        kept = [each for each in status.get("conditions") or () if each.get("type") != ISSUING]
        wanted = {**certificate.item, "status": {**status, "conditions": [*kept, condition]}}
        try:
            systems.cluster.set_certificate_status(certificate.name, _whole(wanted))
        except ClusterConflict:
            continue
        return certificate.name
    message = f"Nothing was done: the Certificate for {secret} is being changed all the time."
    raise OperatorError(message, "Ask again.")


def _whole(item: dict[str, Any]) -> dict[str, Any]:
    """Items of a list lack what a single object says of itself."""
    return {**item, "apiVersion": "cert-manager.io/v1", "kind": "Certificate"}


def _await(
    systems: Systems,
    progress: Progress,
    secret: str,
    before: Details | None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Details | None, str]:
    """The certificate with another serial number; or None and why it does not come. Raises Cancelled."""
    began, why = clock(), ""
    while True:
        try:
            after = _held(systems, secret)
            if after and after.key_state == KEY_MATCHES and (before is None or after.serial != before.serial):
                return after, ""
            issuing = _certificate(systems, secret).issuing
            why = issuing.text("message").rstrip(".") if issuing else "it has taken the wish back and says nothing"
            if issuing and issuing.text("status") == "False":
                return None, f"{issuing.text('reason', default='no reason')}: {why}"
        except (ClusterUnreachable, ClusterUnavailable) as error:
            why = error.message.rstrip(".")
        if clock() - began > WAIT_SECONDS:
            return None, f"nothing came within {WAIT_SECONDS:.0f} s, and the last that was said is “{why}”"
        progress.checkpoint()
        time.sleep(LOOK_SECONDS)


def _compared(before: Details | None, after: Details) -> Table:
    def column(details: Details | None) -> tuple[str, ...]:
        if details is None:
            return ("none",) * 4
        found = details.certificate
        return details.serial, moment(found.begins), moment(found.ends), details.fingerprint

    names = ("serial number", "not before", "not after", "SHA-256 fingerprint")
    rows = tuple(zip(names, column(before), column(after), strict=True))
    return Table(title="Renewed", columns=("", "before", "after"), rows=rows)
