"""Real certificates: the API server's own authority and serving certificate, and the self-signed one of the ingress.

The authority is kept under the data directory, so that a kubeconfig stays valid over restarts.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_YEARS = timedelta(days=3650)
_SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


def self_signed(host: str, *others: str, starts: datetime, ends: datetime) -> KeyPair:
    """Make the certificate of an ingress. ``ends`` may lie in the past: an expired certificate is a case to test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(host)
    certificate = (
        _builder(name, name, key.public_key(), min(starts, ends - timedelta(seconds=1)), ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in (host, *others)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def load_or_make_authority(directory: Path, now: datetime) -> tuple[Path, Path, Path]:
    """Return the paths of (authority, serving certificate, its key); they are made at the first start."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths = (directory / "ca.crt", directory / "server.crt", directory / "server.key")
    if not all(path.exists() for path in paths):
        for path, content in zip(paths, _make(now), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(content)
    return paths


def _make(now: datetime) -> tuple[bytes, bytes, bytes]:
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("kubernetes")
    starts = now - timedelta(hours=1)
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key(), starts, now + _YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signing=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _SERVER_NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1", "10.96.0.1")]
    certificate = (
        _builder(_name("kube-apiserver"), authority_name, key.public_key(), starts, now + _YEARS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signing=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pair = _pair(certificate, key)
    return authority.public_bytes(serialization.Encoding.PEM), pair.certificate, pair.key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, starts: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
    )


def _key_usage(*, signing: bool) -> x509.KeyUsage:
    # Python's strict verification (3.13 and later) refuses an authority that does not say that it signs.
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signing,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signing,
        crl_sign=signing,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
