"""Tables of RBAC: roles and bindings."""

from __future__ import annotations

from datetime import datetime

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.apiserver.tables.columns import AGE, NAME, Cells, Column, Table, age_of, wide


def _role(item: Object, _now: datetime) -> Cells:
    return [item["metadata"]["name"], item["metadata"].get("creationTimestamp", "")]


def _subjects(item: Object, kind: str) -> str:
    chosen = [subject for subject in item.get("subjects") or () if subject["kind"] == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{subject.get('namespace', '')}/{subject['name']}" for subject in chosen)
    return ", ".join(str(subject["name"]) for subject in chosen)


def _binding(item: Object, now: datetime) -> Cells:
    reference = item["roleRef"]
    return [
        item["metadata"]["name"],
        f"{reference['kind']}/{reference['name']}",
        age_of(item, now),
        _subjects(item, "User"),
        _subjects(item, "Group"),
        _subjects(item, "ServiceAccount"),
    ]


_ROLE_TABLE = Table((NAME, Column("Created At")), _role)
_BINDING_TABLE = Table((NAME, Column("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts")), _binding)
ACCESS_TABLES = {
    "Role": _ROLE_TABLE,
    "ClusterRole": _ROLE_TABLE,
    "RoleBinding": _BINDING_TABLE,
    "ClusterRoleBinding": _BINDING_TABLE,
}
