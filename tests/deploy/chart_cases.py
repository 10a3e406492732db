"""Eight sets of settings, each said to the chart by values and to kustomize by an overlay."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MINIMAL = DEPLOY / "kubernetes" / "overlays" / "minimal"
PRODUCTION = DEPLOY / "kubernetes" / "overlays" / "production"
NAMES = {
    "deployment": "tracking", "container": "server", "service": "tracking-svc", "ingress": "tracking-in",
    "configmap": "tracking-env", "secret": "tracking-db", "tls_secret": "tracking-tls",
}  # fmt: skip


def said_in(overlay):
    """The ops.yaml of an overlay, and our image's name."""
    return {
        "image": {"repository": "registry.example.com/mlflow-ops"},
        "ops": yaml.safe_load((overlay / "ops.yaml").read_text()),
    }


PRODUCTIONS = {
    "bot": {"replicas": 2},
    "scheduler": {"replicas": 2},
    "pods": {"spread": True},
    "disruptionBudgets": {"enabled": True},
    "externalSecrets": {"enabled": True},
    "keda": {"enabled": True},
    "monitoring": {"enabled": True},
    "admission": {"enabled": True},
}


class Case:
    """One set of settings, said to both. overlay: a kustomization beside a copy of deploy/; edit: changes the copy."""

    def __init__(self, values, overlay, edit=None, namespace="data-platform"):
        self.values, self.overlay, self.edit, self.namespace = values, overlay, edit, namespace


def other_names(kubernetes):
    """What docs/real-cluster.md asks for by hand if MLflow's objects have other names, and another namespace."""
    renamed = {
        "[mlflow]": "[tracking]", "[mlflow-ingress]": "[tracking-in]", "[mlflow-config]": "[tracking-env]",
        "[mlflow-backend-secret]": "[tracking-db]", "[mlflow-tls]": "[tracking-tls]",
        "[mlflow-backend-secret, mlflow-tls]": "[tracking-db, tracking-tls]",
    }  # fmt: skip
    for file in (kubernetes / "access" / "role.yaml", kubernetes / "recovery" / "role.yaml"):
        text = file.read_text()
        text = re.sub(r"(resources: \[services\]\n\s+resourceNames: )\[mlflow\]", r"\1[tracking-svc]", text)
        for old, new in renamed.items():
            text = text.replace(f"resourceNames: {old}", f"resourceNames: {new}")
        file.write_text(text)
    for file in (kubernetes / "components" / "admission").glob("*.yaml"):
        text = file.read_text().replace("c.name == 'mlflow'", "c.name == 'server'")
        file.write_text(text.replace("paramRef: {name: mlflow,", "paramRef: {name: tracking,"))
    production = kubernetes / "overlays" / "production"
    file = production / "kustomization.yaml"
    file.write_text(file.read_text().replace("namespace: data-platform", "namespace: ml-prod"))
    said = yaml.safe_load((production / "ops.yaml").read_text())
    (production / "ops.yaml").write_text(yaml.safe_dump(said | {"kubernetes": {**NAMES, "namespace": "ml-prod"}}))


FROM_CNPG = {"recovery": {"source": "cnpg", "cluster": "mlflow-db"}}
CASES = {
    "minimal": Case(said_in(MINIMAL), "resources: [../kubernetes/overlays/minimal]\n"),
    "production": Case(said_in(PRODUCTION) | PRODUCTIONS, "resources: [../kubernetes/overlays/production]\n"),
    "a Redis of one's own": Case(
        said_in(MINIMAL)
        | {
            "redis": {"enabled": False},
            "networkPolicies": {
                "redis": [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 6380}]}]
            },
        },
        "resources: [../kubernetes/overlays/minimal]\n"
        "patches:\n"
        "  - target: {kind: NetworkPolicy, name: mlflow-ops-to-redis}\n"
        "    patch: |-\n"
        "      - op: replace\n"
        "        path: /spec/egress\n"
        "        value: [{to: [{ipBlock: {cidr: 10.1.2.3/32}}], ports: [{protocol: TCP, port: 6380}]}]\n",
        lambda kubernetes: _without(kubernetes / "overlays" / "minimal", "components:\n  - ../../components/redis\n"),
    ),
    "alerts, probes, exec and recovery": Case(
        said_in(MINIMAL)
        | {
            "alerts": {"enabled": True},
            "botImage": {"tag": "0.1.0-bot"},
            "httpProbes": True,
            "monitoring": {"enabled": True},
            "rbac": {"exec": True, "recovery": True},
        },
        "resources: [../kubernetes/overlays/minimal, ../kubernetes/exec, ../kubernetes/recovery]\n"
        "components: [../kubernetes/components/alerts, ../kubernetes/components/http-probes,"
        " ../kubernetes/components/monitoring, ../kubernetes/components/bot-image]\n"
        "images: [{name: mlflow-ops-bot, newName: registry.example.com/mlflow-ops, newTag: 0.1.0-bot}]\n",
    ),
    "any moment, and peek": Case(
        said_in(MINIMAL) | {"wal": {"enabled": True}, "peek": {"enabled": True}},
        "resources: [../kubernetes/overlays/minimal]\ncomponents: [../kubernetes/components/point-in-time]\n"
        "images: [{name: mlflow-ops, newName: registry.example.com/mlflow-ops, newTag: 0.1.0}]\n",
    ),
    "peek": Case(
        said_in(MINIMAL) | {"peek": {"enabled": True}},
        "resources: [../kubernetes/overlays/minimal]\ncomponents: [../kubernetes/components/peek]\n",
    ),
    "CloudNativePG": Case(
        said_in(MINIMAL)
        | {
            "ops": said_in(MINIMAL)["ops"] | FROM_CNPG,
            "rbac": {"cloudnativepg": True},
        },
        "resources: [../kubernetes/overlays/minimal]\ncomponents: [../kubernetes/components/cloudnativepg]\n",
        lambda kubernetes: _said(
            kubernetes / "overlays" / "minimal", {"recovery": {"source": "cnpg", "cluster": "mlflow-db"}}
        ),
    ),
    "other names in another namespace": Case(
        said_in(PRODUCTION)
        | PRODUCTIONS
        | {
            "ops": said_in(PRODUCTION)["ops"] | {"kubernetes": NAMES},
            "rbac": {"recovery": True},
        },
        "namespace: ml-prod\nresources: [../kubernetes/overlays/production, ../kubernetes/recovery]\n"
        "transformers: [../kubernetes/namespace]\n",
        other_names,
        "ml-prod",
    ),
}


def _said(overlay, more):
    file = overlay / "ops.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | more))


def _without(overlay, lines):
    file = overlay / "kustomization.yaml"
    assert lines in file.read_text()
    file.write_text(file.read_text().replace(lines, ""))


def by_kustomize(case, folder):
    """What `kubectl kustomize` makes of a copy of deploy/ with that overlay."""
    for each in ("kubernetes", "grafana"):
        shutil.copytree(DEPLOY / each, folder / each)
    if case.edit:
        case.edit(folder / "kubernetes")
    (folder / "overlay").mkdir()
    (folder / "overlay" / "kustomization.yaml").write_text(case.overlay)
    done = subprocess.run(
        ["kubectl", "kustomize", folder / "overlay"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
