"""cert-manager's part: who sets the condition Issuing of a Certificate to True gets a new one, as from a self-signed
issuer.

That condition on the status is what the real issuing controllers act on, and what ``cmctl renew`` sets; annotations
on an Ingress do nothing here either (https://cert-manager.io/docs/usage/certificate/#issuance-triggers). Only the
ClusterIssuer that the sandbox has issues; a Certificate of another stays where it is, as for want of its issuer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.objects import Object, condition_of, name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.resources import CERTIFICATES, SECRETS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, from_rfc3339
from mlflow_ops_sandbox.cluster.certificates import KeyPair, self_signed
from mlflow_ops_sandbox.cluster.seed import manifests

ISSUE_SECONDS = 1.0
"""A real one takes moments too: a request, its approval, a signature."""
_COMPONENT = "cert-manager-certificates-issuing"
_MESSAGE = "The certificate has been successfully issued"


@dataclass(frozen=True, slots=True)
class CertificateController:
    """Issues what is asked for."""

    store: Store
    events: Recorder
    clock: Clock

    def reconcile(self) -> None:
        """Bring everything in step; writes only where a new certificate is due."""
        now = self.clock()
        for certificate in self.store.all(CERTIFICATES):
            if _is_due(certificate, now) and _issuer(certificate) == manifests.ISSUER:
                self._issue(certificate, now)

    def _issue(self, certificate: Object, now: datetime) -> None:
        spec, namespace = certificate["spec"], namespace_of(certificate)
        host, *others = spec["dnsNames"]
        pair = self_signed(host, *others, starts=now, ends=now + timedelta(days=manifests.TLS_DAYS))
        self._keep(namespace, spec["secretName"], pair)
        revision = int((certificate.get("status") or {}).get("revision", 0)) + 1

        def issued(item: Object) -> None:
            item["status"] = manifests.certificate_status(item, pair, now, revision)

        self.store.update(CERTIFICATES, namespace, name_of(certificate), issued)
        self.events.controller(certificate, CERTIFICATES, _COMPONENT, Happening("Issuing", _MESSAGE))

    def _keep(self, namespace: str, name: str, pair: KeyPair) -> None:
        data = manifests.tls_data(pair)
        if self.store.find(SECRETS, namespace, name) is None:
            metadata = {"name": name, "namespace": namespace}
            self.store.create(SECRETS, {"metadata": metadata, "type": "kubernetes.io/tls", "data": data})
        else:
            self.store.update(SECRETS, namespace, name, lambda item: item.update(data=data))


def _is_due(certificate: Object, now: datetime) -> bool:
    issuing = condition_of(certificate, "Issuing")
    if issuing is None or issuing["status"] != "True":
        return False
    asked = issuing.get("lastTransitionTime")
    return not asked or (now - from_rfc3339(asked)).total_seconds() >= ISSUE_SECONDS


def _issuer(certificate: Object) -> str:
    return str((certificate["spec"].get("issuerRef") or {}).get("name", ""))
