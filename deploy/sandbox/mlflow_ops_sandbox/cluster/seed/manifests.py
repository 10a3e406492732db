"""The objects of the runbook as somebody would have applied them, before the API server fills in its defaults."""

from __future__ import annotations

import base64
from datetime import datetime

from cryptography import x509

from mlflow_ops_sandbox.cluster.api.objects import Object, owner_reference
from mlflow_ops_sandbox.cluster.api.times import to_rfc3339
from mlflow_ops_sandbox.cluster.certificates import KeyPair
from mlflow_ops_sandbox.cluster.wiring import Process, Wiring

HOST = "mlflow.254carbon.local"
TLS_SECRET = "mlflow-tls"  # noqa: S105 - a name
TLS_DAYS = 60
ISSUER = "selfsigned"
DATABASE_SECRET = "mlflow-backend-secret"  # noqa: S105 - a name
CONFIG = "mlflow-config"
MLFLOW_PORT, POSTGRES_PORT, MINIO_PORT = 5000, 5432, 9000
_DEFAULT_CONFIG = {"gunicorn_workers": "4", "gunicorn_timeout": "120", "log_level": "info"}


def deployment(wiring: Wiring) -> Object:
    """Return the Deployment of MLflow."""
    health: Object = {"httpGet": {"path": "/health", "port": MLFLOW_PORT}}
    container: Object = {
        "name": "mlflow",
        "image": wiring.mlflow_image,
        "command": ["mlflow", "server"],
        "args": ["--host", "0.0.0.0", "--port", str(MLFLOW_PORT), "--workers", "$(GUNICORN_WORKERS)"],  # noqa: S104
        "ports": [{"name": "http", "containerPort": MLFLOW_PORT}],
        "env": [
            {
                "name": "GUNICORN_WORKERS",
                "valueFrom": {"configMapKeyRef": {"name": CONFIG, "key": "gunicorn_workers"}},
            },
            {"name": "MLFLOW_LOGGING_LEVEL", "value": "INFO"},
        ],
        "envFrom": [{"configMapRef": {"name": CONFIG}}, {"secretRef": {"name": DATABASE_SECRET}}],
        "resources": {
            "requests": {"cpu": "500m", "memory": "2Gi"},
            "limits": {"cpu": "1", "memory": "4Gi"},
        },
        "readinessProbe": {**health, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {**health, "initialDelaySeconds": 30, "periodSeconds": 20, "timeoutSeconds": 10},
    }
    labels = {"app": "mlflow"}
    return {
        "metadata": {"name": "mlflow", "namespace": wiring.namespace, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def stateful_set(wiring: Wiring, name: str, application: str, port: int, process: Process) -> Object:
    """Return the StatefulSet of PostgreSQL or of MinIO."""
    labels = {"app": application}
    container: Object = {
        "name": application,
        "image": process.image,
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 2, "timeoutSeconds": 2},
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    if application == "minio":
        container["args"] = ["server", "/data"]
    claim: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "20Gi"}},
            "storageClassName": "standard",
            "volumeMode": "Filesystem",
        },
        "status": {"phase": "Pending"},
    }
    return {
        "metadata": {"name": name, "namespace": wiring.namespace, "labels": labels},
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            "volumeClaimTemplates": [claim],
        },
    }


def service(wiring: Wiring, name: str, application: str, port: int) -> Object:
    """Return a Service in front of an application."""
    return {
        "metadata": {"name": name, "namespace": wiring.namespace, "labels": {"app": application}},
        "spec": {"selector": {"app": application}, "ports": [{"name": "", "port": port, "targetPort": port}]},
    }


def ingress(wiring: Wiring) -> Object:
    """Return the Ingress with TLS."""
    backend = {"service": {"name": "mlflow", "port": {"number": MLFLOW_PORT}}}
    return {
        "metadata": {
            "name": "mlflow-ingress",
            "namespace": wiring.namespace,
            "labels": {"app": "mlflow"},
            "annotations": {"cert-manager.io/cluster-issuer": ISSUER},
        },
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": [HOST], "secretName": TLS_SECRET}],
            "rules": [{"host": HOST, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "10.244.0.1"}]}},
    }


def config_map(wiring: Wiring) -> Object:
    """Return MLflow's settings."""
    return {
        "metadata": {"name": CONFIG, "namespace": wiring.namespace, "labels": {"app": "mlflow"}},
        "data": {**_DEFAULT_CONFIG, **wiring.config},
    }


def secret(wiring: Wiring, name: str, values: dict[str, str]) -> Object:
    """Return a Secret of plain values."""
    return {
        "metadata": {"name": name, "namespace": wiring.namespace, "labels": {"app": "mlflow"}},
        "type": "Opaque",
        "data": {key: _encoded(value.encode()) for key, value in values.items()},
    }


def tls_secret(wiring: Wiring, pair: KeyPair) -> Object:
    """Return the Secret of the Ingress's certificate."""
    return {
        "metadata": {"name": TLS_SECRET, "namespace": wiring.namespace, "labels": {"app": "mlflow"}},
        "type": "kubernetes.io/tls",
        "data": tls_data(pair),
    }


def tls_data(pair: KeyPair) -> dict[str, str]:
    """Return the data of a kubernetes.io/tls Secret."""
    return {"tls.crt": _encoded(pair.certificate), "tls.key": _encoded(pair.key)}


def certificate(wiring: Wiring, ingress: Object, pair: KeyPair, now: datetime) -> Object:
    """Return the Certificate that cert-manager makes for an Ingress that names an issuer."""
    item: Object = {
        "metadata": {
            "name": TLS_SECRET,
            "namespace": wiring.namespace,
            "labels": {"app": "mlflow"},
            "generation": 1,
            "ownerReferences": [owner_reference("networking.k8s.io/v1", "Ingress", ingress)],
        },
        "spec": {
            "dnsNames": [HOST],
            "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": ISSUER},
            "secretName": TLS_SECRET,
            "usages": ["digital signature", "key encipherment"],
        },
    }
    return {**item, "status": certificate_status(item, pair, now, revision=1)}


def certificate_status(item: Object, pair: KeyPair, now: datetime, revision: int) -> Object:
    """Return the status of a Certificate that was just issued."""
    issued = x509.load_pem_x509_certificate(pair.certificate)
    starts, ends = issued.not_valid_before_utc, issued.not_valid_after_utc
    ready: Object = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "Certificate is up to date and has not expired",
        "lastTransitionTime": to_rfc3339(now),
        "observedGeneration": item["metadata"].get("generation", 1),
    }
    return {
        "conditions": [ready],
        "notBefore": to_rfc3339(starts),
        "notAfter": to_rfc3339(ends),
        "renewalTime": to_rfc3339(ends - (ends - starts) / 3),
        "revision": revision,
    }


def disruption_budget(wiring: Wiring) -> Object:
    """Return the budget that keeps one pod of MLflow."""
    return {
        "metadata": {"name": "mlflow", "namespace": wiring.namespace, "labels": {"app": "mlflow"}},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "mlflow"}}},
    }


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
