"""Claims and the volumes behind them, as the local provisioner makes them: bound at once."""

from __future__ import annotations

import uuid

from mlflow_ops_sandbox.cluster.api.objects import Object, namespace_of
from mlflow_ops_sandbox.cluster.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from mlflow_ops_sandbox.cluster.api.store import Store


def provision(store: Store, workload: Object, template: Object, name: str) -> None:
    """Create a claim, made from a claim template of a StatefulSet, and its volume, unless it is there."""
    namespace = namespace_of(workload)
    if store.find(PERSISTENT_VOLUME_CLAIMS, namespace, name) is not None:
        return
    wanted = template["spec"]
    storage = wanted["resources"]["requests"]
    uid = str(uuid.uuid4())
    volume = f"pvc-{uid}"
    store.create(
        PERSISTENT_VOLUME_CLAIMS,
        {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": uid,
                "labels": workload["spec"]["selector"].get("matchLabels") or {},
            },
            "spec": {**wanted, "volumeName": volume},
            "status": {"phase": "Bound", "accessModes": wanted["accessModes"], "capacity": storage},
        },
    )
    reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": name, "uid": uid}
    store.create(
        PERSISTENT_VOLUMES,
        {
            "metadata": {"name": volume},
            "spec": {
                "capacity": storage,
                "accessModes": wanted["accessModes"],
                "claimRef": {**reference, "namespace": namespace},
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": wanted.get("storageClassName", "standard"),
                "volumeMode": wanted.get("volumeMode", "Filesystem"),
                "hostPath": {"path": f"/var/local-path-provisioner/{volume}", "type": "DirectoryOrCreate"},
            },
            "status": {"phase": "Bound"},
        },
    )
