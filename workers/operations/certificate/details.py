"""All that a TLS Secret tells, beside what the health check asks of it: chain, key, serial number, fingerprint.

The private key is read to compare its public half with the certificate's, and goes no further.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workers.systems.cluster import certificate
from workers.systems.cluster.certificate import Certificate
from workers.systems.cluster.fields import Fields

if TYPE_CHECKING:
    from cryptography import x509

KEY_MATCHES = "matches the certificate"


@dataclass(frozen=True)
class Link:
    """One certificate of the chain above the server's own. signs: whether it signed the one before it."""

    subject: str
    issuer: str
    ends: datetime
    signs: bool


@dataclass(frozen=True)
class Details:
    """The server's certificate and what belongs to it. key_state: a phrase, KEY_MATCHES where all is well."""

    certificate: Certificate
    addresses: tuple[str, ...]
    serial: str
    fingerprint: str
    key: str
    chain: tuple[Link, ...]
    self_signed: bool
    key_state: str

    @property
    def broken_link(self) -> Link | None:
        """The first certificate of the chain that did not sign the one before it."""
        return next((link for link in self.chain if not link.signs), None)


def read(secret: dict[str, Any], name: str) -> Details:
    """From a Secret of type kubernetes.io/tls. Raises Nonsense where its tls.crt holds no certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    fields = Fields(secret, f"Secret {name}")
    encoded = fields.text("data", "tls.crt")
    found = certificate.read(encoded, name)
    leaf, *above = x509.load_pem_x509_certificates(base64.b64decode(encoded))
    links = [_link(each, below) for below, each in zip([leaf, *above], above, strict=False)]
    return Details(
        certificate=found,
        addresses=_addresses(leaf),
        serial=_octets(f"{leaf.serial_number:x}"),
        fingerprint=_octets(leaf.fingerprint(hashes.SHA256()).hex()),
        key=_key(leaf),
        chain=tuple(links),
        self_signed=_signed(leaf, leaf),
        key_state=_key_state(leaf, fields.text("data", "tls.key")),
    )


def _link(each: x509.Certificate, below: x509.Certificate) -> Link:
    names = each.subject.rfc4514_string(), each.issuer.rfc4514_string()
    return Link(*names, each.not_valid_after_utc, _signed(below, each))


def _octets(digits: str) -> str:
    """As openssl writes it: 0A:1B:2C."""
    even = digits.upper().zfill(len(digits) + len(digits) % 2)
    return ":".join(even[at : at + 2] for at in range(0, len(even), 2))


def _addresses(leaf: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(address) for address in alternative.get_values_for_type(x509.IPAddress))


def _key(leaf: x509.Certificate) -> str:
    """The kind of key and its size ("RSA, 2048 bits")."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}, {key.key_size} bits"
    return type(key).__name__.removesuffix("PublicKey")


def _signed(below: x509.Certificate, above: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _key_state(leaf: x509.Certificate, encoded: str) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    if not encoded:
        return "is missing"
    try:
        key = load_pem_private_key(base64.b64decode(encoded, validate=True), password=None)
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        return "cannot be read"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    same = key.public_key().public_bytes(*form) == leaf.public_key().public_bytes(*form)
    return KEY_MATCHES if same else "does not match the certificate"
