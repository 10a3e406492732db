"""Who may do what on the first day: the built-in roles, and the restricted account of the workers."""

from __future__ import annotations

from pathlib import Path

import yaml

from mlflow_ops_sandbox.cluster.api.objects import Object

WORKER_ACCOUNT = "mlflow-ops-worker"
_PRODUCT = Path(__file__).parent / "kubernetes"
"""A link to deploy/kubernetes in a checkout; its files in a wheel."""
_BESIDE = ("recovery", "exec")
"""Roles that an administrator binds where they are wanted; here they are."""
_RBAC = "rbac.authorization.k8s.io"


def _rule(group: str, resources: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _read(file: str) -> Object:
    document: Object = yaml.safe_load((_PRODUCT / file).read_text(encoding="utf-8"))
    return {key: value for key, value in document.items() if key not in {"apiVersion", "kind"}}


def cluster_roles() -> list[Object]:
    """Return the built-in cluster roles that matter here."""
    discovery = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
                 "/version", "/version/"]  # fmt: skip
    public = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
    every = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    return [
        _read("access/clusterrole.yaml"),
        _role("cluster-admin", [every, {"nonResourceURLs": ["*"], "verbs": ["*"]}]),
        _role("system:discovery", [{"nonResourceURLs": discovery, "verbs": ["get"]}]),
        _role("system:public-info-viewer", [{"nonResourceURLs": public, "verbs": ["get"]}]),
        _role(
            "system:basic-user",
            [
                _rule("authorization.k8s.io", reviews, ["create"]),
                _rule("authentication.k8s.io", ["selfsubjectreviews"], ["create"]),
            ],
        ),
    ]


def cluster_role_bindings() -> list[Object]:
    """Return their bindings."""
    return [
        _read("access/clusterrolebinding.yaml"),
        _binding("cluster-admin", "cluster-admin", ["system:masters"]),
        _binding("system:discovery", "system:discovery", ["system:authenticated"]),
        _binding("system:basic-user", "system:basic-user", ["system:authenticated"]),
        _binding(
            "system:public-info-viewer",
            "system:public-info-viewer",
            ["system:authenticated", "system:unauthenticated"],
        ),
    ]


def worker_role(namespace: str) -> Object:
    """Return what the workers may: the product's own Role, so that the sandbox refuses what a cluster would."""
    role: Object = _read("access/role.yaml")
    return {"metadata": {**role["metadata"], "namespace": namespace}, "rules": role["rules"]}


def worker_role_binding(namespace: str) -> Object:
    """Return the binding of that role to the workers' account."""
    return {
        "metadata": {"name": WORKER_ACCOUNT, "namespace": namespace},
        "subjects": [{"kind": "ServiceAccount", "name": WORKER_ACCOUNT, "namespace": namespace}],
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": WORKER_ACCOUNT},
    }


def roles_beside(namespace: str) -> list[tuple[Object, Object]]:
    """Return the roles that may be bound to the workers' account as well, each with its binding."""
    found = []
    for folder in _BESIDE:
        role = _read(f"{folder}/role.yaml")
        name = role["metadata"]["name"]
        binding = worker_role_binding(namespace) | {
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": name},
        }
        found.append(({**role, "metadata": {"name": name, "namespace": namespace}}, binding))
    return found


def _role(name: str, rules: list[Object]) -> Object:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    return {"metadata": {"name": name, "labels": labels}, "rules": rules}


def _binding(name: str, role: str, groups: list[str]) -> Object:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "subjects": [{"kind": "Group", "apiGroup": _RBAC, "name": group} for group in groups],
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
    }
