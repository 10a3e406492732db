"""The table of certificates, with the columns of cert-manager's CustomResourceDefinition."""

from __future__ import annotations

from datetime import datetime

from mlflow_ops_sandbox.cluster.api.objects import Object, condition_of
from mlflow_ops_sandbox.cluster.apiserver.tables.columns import AGE, NAME, Cells, Column, Table, age_of, wide


def _certificate(item: Object, now: datetime) -> Cells:
    ready = condition_of(item, "Ready") or {}
    spec = item["spec"]
    issuer = (spec.get("issuerRef") or {}).get("name", "")
    return [
        item["metadata"]["name"],
        ready.get("status", ""),
        spec.get("secretName", ""),
        issuer,
        ready.get("message", ""),
        age_of(item, now),
    ]


CERTIFICATE_TABLES = {
    "Certificate": Table((NAME, Column("Ready"), Column("Secret"), wide("Issuer"), wide("Status"), AGE), _certificate)
}
