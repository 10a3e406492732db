"""Puts the first objects into an empty store, in the order in which a real cluster would come to have them.

Only for a store without namespaces; a second start finds its objects and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from mlflow_ops_sandbox.cluster.api import defaulting
from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.identifiers import template_hash
from mlflow_ops_sandbox.cluster.api.objects import Object, name_of, namespace_of, owner_reference
from mlflow_ops_sandbox.cluster.api.ownership import new_pod
from mlflow_ops_sandbox.cluster.api.resources import (
    CERTIFICATES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    INGRESS_CLASSES,
    INGRESSES,
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.api.volumes import provision
from mlflow_ops_sandbox.cluster.certificates import self_signed
from mlflow_ops_sandbox.cluster.seed import access, manifests
from mlflow_ops_sandbox.cluster.seed.node import node
from mlflow_ops_sandbox.cluster.wiring import Process, Wiring


def is_empty(store: Store) -> bool:
    """Say whether nothing was planted yet."""
    return not store.all(NAMESPACES)


@dataclass(frozen=True, slots=True)
class Planter:
    """Plants."""

    store: Store
    events: Recorder
    clock: Clock
    authority: str

    def plant(self, wiring: Wiring) -> None:
        """Create everything."""
        self.plant_cluster(wiring.namespace)
        now = self.clock()
        namespace = wiring.namespace
        self.store.create(CONFIG_MAPS, manifests.config_map(wiring))
        given: dict[str, dict[str, str]] = {manifests.DATABASE_SECRET: {}} | wiring.secrets
        for name, values in given.items():
            self.store.create(SECRETS, manifests.secret(wiring, name, values))
        pair = self_signed(manifests.HOST, starts=now, ends=now + timedelta(days=manifests.TLS_DAYS))
        self.store.create(SECRETS, manifests.tls_secret(wiring, pair))
        for name, application, port, process in (
            ("postgres-shared", "postgres", manifests.POSTGRES_PORT, wiring.postgres),
            ("minio", "minio", manifests.MINIO_PORT, wiring.minio),
        ):
            self._stateful_set(wiring, name, application, port, process)
        self._deployment(manifests.deployment(wiring))
        for name, application, port, address in (
            ("mlflow", "mlflow", manifests.MLFLOW_PORT, "10.96.13.72"),
            ("postgres-shared-service", "postgres", manifests.POSTGRES_PORT, "10.96.0.20"),
            ("minio", "minio", manifests.MINIO_PORT, "10.96.0.30"),
        ):
            item = manifests.service(wiring, name, application, port)
            item["spec"]["ports"][0].pop("name")
            defaulting.default_service(item, address)
            self.store.create(SERVICES, item)
        ingress = self.store.create(INGRESSES, manifests.ingress(wiring))
        self.store.create(CERTIFICATES, manifests.certificate(wiring, ingress, pair, now))
        self.store.create(POD_DISRUPTION_BUDGETS, manifests.disruption_budget(wiring))
        self.store.create(ROLES, access.worker_role(namespace))
        self.store.create(ROLE_BINDINGS, access.worker_role_binding(namespace))
        for role, binding in access.roles_beside(namespace):
            self.store.create(ROLES, role)
            self.store.create(ROLE_BINDINGS, binding)
        self.store.create(SERVICE_ACCOUNTS, {"metadata": {"name": access.WORKER_ACCOUNT, "namespace": namespace}})

    def plant_cluster(self, namespace: str) -> None:
        """Create what every cluster has, and the namespace."""
        for name in dict.fromkeys(("default", "kube-node-lease", "kube-public", "kube-system", namespace)):
            self.store.create(
                NAMESPACES,
                {
                    "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                    "spec": {"finalizers": ["kubernetes"]},
                    "status": {"phase": "Active"},
                },
            )
            self.store.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": name}})
            root: Object = {
                "metadata": {"name": "kube-root-ca.crt", "namespace": name},
                "data": {"ca.crt": self.authority},
            }
            self.store.create(CONFIG_MAPS, root)
        self.store.create(NODES, node(self.clock()))
        for role in access.cluster_roles():
            self.store.create(CLUSTER_ROLES, role)
        for binding in access.cluster_role_bindings():
            self.store.create(CLUSTER_ROLE_BINDINGS, binding)
        standard = {
            "metadata": {
                "name": "standard",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "rancher.io/local-path",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        self.store.create(STORAGE_CLASSES, standard)
        nginx = {"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}
        self.store.create(INGRESS_CLASSES, nginx)
        kubernetes: Object = {
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 6443}]},
        }
        defaulting.default_service(kubernetes, "10.96.0.1")
        self.store.create(SERVICES, kubernetes)

    def _deployment(self, item: Object) -> None:
        defaulting.default_deployment(item)
        item["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
        made = self.store.create(DEPLOYMENTS, item)
        template, replicas = made["spec"]["template"], made["spec"]["replicas"]
        digest = template_hash(template)
        labels = {**template["metadata"]["labels"], "pod-template-hash": digest}
        replica_set = self.store.create(
            REPLICA_SETS,
            {
                "metadata": {
                    "name": f"{name_of(made)}-{digest}",
                    "namespace": namespace_of(made),
                    "labels": labels,
                    "annotations": {
                        "deployment.kubernetes.io/desired-replicas": str(replicas),
                        "deployment.kubernetes.io/max-replicas": str(replicas + 1),
                        "deployment.kubernetes.io/revision": "1",
                    },
                    "ownerReferences": [owner_reference("apps/v1", "Deployment", made)],
                },
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
                },
                "status": {"replicas": 0},
            },
        )
        message = f"Scaled up replica set {name_of(replica_set)} from 0 to {replicas}"
        self.events.controller(made, DEPLOYMENTS, "deployment-controller", Happening("ScalingReplicaSet", message))
        owner = owner_reference("apps/v1", "ReplicaSet", replica_set)
        for _ in range(replicas):
            metadata: Object = {"generateName": f"{name_of(replica_set)}-", "namespace": namespace_of(made)}
            pod = self.store.create(PODS, new_pod(replica_set["spec"]["template"], metadata, owner))
            message = f"Created pod: {name_of(pod)}"
            self.events.controller(
                replica_set, REPLICA_SETS, "replicaset-controller", Happening("SuccessfulCreate", message)
            )

    def _stateful_set(self, wiring: Wiring, name: str, application: str, port: int, process: Process) -> None:
        item = manifests.stateful_set(wiring, name, application, port, process)
        defaulting.default_stateful_set(item)
        made = self.store.create(STATEFUL_SETS, item)
        digest = template_hash(made["spec"]["template"])
        provision(self.store, made, made["spec"]["volumeClaimTemplates"][0], f"data-{name}-0")
        metadata: Object = {
            "name": f"{name}-0",
            "namespace": namespace_of(made),
            "generateName": f"{name}-",
            "labels": {
                "apps.kubernetes.io/pod-index": "0",
                "controller-revision-hash": f"{name}-{digest}",
                "statefulset.kubernetes.io/pod-name": f"{name}-0",
            },
        }
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{name}-0"}}
        owner = owner_reference("apps/v1", "StatefulSet", made)
        pod = self.store.create(PODS, new_pod(made["spec"]["template"], metadata, owner, volume))
        message = f"create Pod {name_of(pod)} in StatefulSet {name} successful"
        self.events.controller(made, STATEFUL_SETS, "statefulset-controller", Happening("SuccessfulCreate", message))
