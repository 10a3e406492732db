"""Maintenance windows: the certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.grammar import change, command, group

if TYPE_CHECKING:
    from workers.operation import Operation


@command("show", examples=("cert show",))
def _show() -> Operation:
    """The certificate behind the Ingress: for whom, by whom, until when, and whether key and chain fit."""
    from workers.operations.certificate.show import CertShow

    return CertShow()


@change("renew", examples=("cert renew", "cert renew --dry-run"))
def _renew() -> Operation:
    """Have cert-manager issue a new certificate now, as cmctl renew does, and wait for its new serial number. Needs
    approval. (Annotating the Ingress with cert-manager.io/issue-temporary-certificate renews nothing.)
    """
    from workers.operations.certificate.renew import CertRenew

    return CertRenew()


cert = group("cert", _show, _renew, meaning="The Ingress's TLS certificate: show it, and renew it.")
