"""Maintenance windows: the certificate."""

from __future__ import annotations

from commands.grammar import change, command, group
from workers.operations.certificate.renew import CertRenew
from workers.operations.certificate.show import CertShow


@command("show", examples=("cert show",))
def _show() -> CertShow:
    """The certificate behind the Ingress: for whom, by whom, until when, and whether key and chain fit."""
    return CertShow()


@change("renew", examples=("cert renew", "cert renew --dry-run"))
def _renew() -> CertRenew:
    """Have cert-manager issue a new certificate now, as cmctl renew does, and wait for its new serial number. Needs
    approval. (Annotating the Ingress with cert-manager.io/issue-temporary-certificate renews nothing.)
    """
    return CertRenew()


cert = group("cert", _show, _renew, meaning="The Ingress's TLS certificate: show it, and renew it.")
