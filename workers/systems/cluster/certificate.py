"""A TLS certificate as a Secret holds it: until when, for whom."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from workers.systems.errors import Nonsense
from workers.wording import ago, count

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """The first certificate of a chain: the server's own."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: datetime
    ends: datetime

    def left(self, now: datetime) -> str:
        """As in "30 days left" and "expired 1 day ago"."""
        days = self.days_left(now)
        if days >= 0:
            return f"{count(int(days), 'day')} left"
        return f"expired {count(int(-days), 'day')} ago" if days <= -1 else f"expired {ago(-days * 86_400)}"

    def days_left(self, now: datetime) -> float:
        """Days until it ends; below zero once it has."""
        return (self.ends - now) / _DAY

    def covers(self, host: str) -> bool:
        """True where one of its names is the host's; a `*` stands for exactly one label (RFC 6125)."""
        wanted = host.lower().rstrip(".")
        return any(_matches(name.lower().rstrip("."), wanted) for name in self.names)

    def uncovered(self, hosts: Sequence[str]) -> list[str]:
        """The hosts that it is not for."""
        return [host for host in hosts if host and not self.covers(host)]


def read(encoded: str, secret: str) -> Certificate:
    """From the base64 of a Secret's tls.crt (PEM, the server's own first). Raises Nonsense."""
    from cryptography import x509

    try:
        leaf = x509.load_pem_x509_certificates(base64.b64decode(encoded, validate=True))[0]
    except (ValueError, binascii.Error):
        raise Nonsense(f"The Secret {secret} holds no certificate in its tls.crt.") from None
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(alternative.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        names = ()
    return Certificate(
        subject=leaf.subject.rfc4514_string(),
        issuer=leaf.issuer.rfc4514_string(),
        names=names,
        begins=leaf.not_valid_before_utc,
        ends=leaf.not_valid_after_utc,
    )


def _matches(name: str, host: str) -> bool:
    if not name.startswith("*."):
        return name == host
    first, dot, rest = host.partition(".")
    return bool(first and dot) and rest == name[2:]
