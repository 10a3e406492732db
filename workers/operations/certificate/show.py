"""What the Ingress's certificate says: found and judged as the health check does it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.certificate.details import KEY_MATCHES, Details, read
from workers.operations.health import ingress
from workers.report import Facts, Report, Section, Status, Table
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterNotFound
from workers.wording import listed, moment

if TYPE_CHECKING:
    from workers.systems import Systems


class CertShow(Operation):
    """Show the certificate behind the Ingress."""

    name: ClassVar[str] = "cert-show"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it and judge it."""
        progress.step("Reading the certificate")
        served = IngressCertificate.of(systems)
        secret = read_secret(systems, served.secret)
        found = read(secret, served.secret)
        status, sentence = verdict(systems, served, secret, found)
        return Report(
            title="Certificate",
            status=status,
            summary=sentence,
            sections=sections(served, found, datetime.now(UTC)),
            hints=() if status is Status.OK else ("cert renew",),
        )


@dataclass(frozen=True)
class IngressCertificate:
    """The Ingress (None where there is none), and the name of the Secret that it shows."""

    ingress: dict[str, Any] | None
    secret: str

    @classmethod
    def of(cls, systems: Systems) -> IngressCertificate:
        """As the cluster has it now."""
        names = systems.settings.ops.kubernetes
        try:
            found = systems.cluster.ingress(names.ingress)
        except ClusterNotFound:
            return cls(None, names.tls_secret)
        return cls(found, ingress.secret_name(found, names.tls_secret))

    @property
    def hosts(self) -> list[str]:
        """The hosts that the Ingress serves with TLS, else all of its hosts."""
        if self.ingress is None:
            return []
        fields = Fields(self.ingress, "Ingress")
        secured = [host for entry in fields.each("spec", "tls") for host in entry.texts("hosts")]
        return secured or [rule.text("host") for rule in fields.each("spec", "rules") if rule.text("host")]


def read_secret(systems: Systems, name: str) -> dict[str, Any]:
    """The Secret. Raises OperatorError where there is none, or where our account may not read it."""
    try:
        return systems.cluster.secret(name)
    except ClusterNotFound:
        namespace = systems.settings.ops.kubernetes.namespace
        message = f"There is no Secret {name} in {namespace}: the Ingress has no certificate of its own."
        raise OperatorError(message, "/mlflow cert renew asks cert-manager for one.") from None


def verdict(
    systems: Systems, served: IngressCertificate, secret: dict[str, Any], details: Details
) -> tuple[Status, str]:
    """The health check's verdict, made worse by a key or a chain that does not fit."""
    now = datetime.now(UTC)
    names = systems.settings.ops.kubernetes
    if served.ingress is None:
        days = math.floor(details.certificate.days_left(now))
        status = Status.WARN
        sentence = f"There is no Ingress {names.ingress}; the certificate in {served.secret} ends in {days} days."
    else:
        answer = ingress.judge(served.ingress, served.secret, secret, systems.settings, now)
        status, sentence = answer.status, answer.sentence
    if details.key_state != KEY_MATCHES:
        return Status.FAIL, f"The private key in {served.secret} {details.key_state}. {sentence}"
    link = details.broken_link
    if link is not None and status is not Status.FAIL:
        return Status.WARN, f"The chain is broken: {link.subject} did not sign the certificate before it. {sentence}"
    return status, sentence


def sections(served: IngressCertificate, details: Details, now: datetime) -> tuple[Section, ...]:
    """All that is known, for people."""
    found = details.certificate
    uncovered = found.uncovered(served.hosts)
    covers = f"no: not {listed(uncovered)}" if uncovered else "yes"
    facts = (
        ("Secret", served.secret),
        ("subject", found.subject),
        ("names", ", ".join([*found.names, *details.addresses]) or "none"),
        ("covers the Ingress's hosts", covers if served.hosts else "the Ingress names no host"),
        ("issuer", f"{found.issuer}{' (self-signed)' if details.self_signed else ''}"),
        ("not before", moment(found.begins)),
        ("not after", f"{moment(found.ends)} ({found.left(now)})"),
        ("key", f"{details.key}; the private key {details.key_state}"),
        ("serial number", details.serial),
        ("SHA-256 fingerprint", details.fingerprint),
    )
    chain = tuple(
        (link.subject, link.issuer, moment(link.ends), "yes" if link.signs else "NO") for link in details.chain
    )
    if not chain:
        return (Facts(items=facts),)
    columns = ("subject", "issuer", "not after", "signed the one before")
    return Facts(items=facts), Table(title="Chain above it", columns=columns, rows=chain)
