"""Tables of configuration and storage: config maps, secrets, claims, volumes, classes."""

from __future__ import annotations

from datetime import datetime

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.apiserver.tables.columns import (
    AGE,
    NAME,
    Cells,
    Column,
    Table,
    age_of,
    joined,
    wide,
)

_ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _config_map(item: Object, now: datetime) -> Cells:
    count = len(item.get("data") or {}) + len(item.get("binaryData") or {})
    return [item["metadata"]["name"], count, age_of(item, now)]


def _secret(item: Object, now: datetime) -> Cells:
    return [item["metadata"]["name"], item.get("type", "Opaque"), len(item.get("data") or {}), age_of(item, now)]


def _modes(item: Object) -> str:
    return ",".join(_ACCESS_MODES.get(mode, mode) for mode in item["spec"].get("accessModes") or ())


def _claim(item: Object, now: datetime) -> Cells:
    spec, status = item["spec"], item.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        item["metadata"]["name"],
        status.get("phase", "Pending"),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        _modes(item) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        age_of(item, now),
        spec.get("volumeMode") or "Filesystem",
    ]


def _volume(item: Object, now: datetime) -> Cells:
    spec, status = item["spec"], item.get("status") or {}
    claim = spec.get("claimRef")
    return [
        item["metadata"]["name"],
        (spec.get("capacity") or {}).get("storage", ""),
        _modes(item),
        spec.get("persistentVolumeReclaimPolicy", ""),
        status.get("phase", ""),
        f"{claim['namespace']}/{claim['name']}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        status.get("reason", ""),
        age_of(item, now),
        spec.get("volumeMode") or "Filesystem",
    ]


def _storage_class(item: Object, now: datetime) -> Cells:
    default = (item["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        item["metadata"]["name"] + (" (default)" if default else ""),
        item.get("provisioner", ""),
        item.get("reclaimPolicy", "Delete"),
        item.get("volumeBindingMode", "Immediate"),
        bool(item.get("allowVolumeExpansion")),
        age_of(item, now),
    ]


def _service_account(item: Object, now: datetime) -> Cells:
    return [item["metadata"]["name"], len(item.get("secrets") or []), age_of(item, now)]


def _quota(item: Object, now: datetime) -> Cells:
    hard, used = item["spec"].get("hard") or {}, (item.get("status") or {}).get("used") or {}
    requests = [f"{key}: {used.get(key, '0')}/{value}" for key, value in hard.items() if not key.startswith("limits.")]
    limits = [f"{key}: {used.get(key, '0')}/{value}" for key, value in hard.items() if key.startswith("limits.")]
    return [item["metadata"]["name"], joined(requests, ""), joined(limits, ""), age_of(item, now)]


CONFIGURATION_TABLES = {
    "ConfigMap": Table((NAME, Column("Data"), AGE), _config_map),
    "Secret": Table(
        (NAME, Column("Type", "Used to facilitate programmatic handling of secret data."), Column("Data"), AGE), _secret
    ),
    "ServiceAccount": Table((NAME, Column("Secrets"), AGE), _service_account),
    "ResourceQuota": Table((NAME, Column("Request"), Column("Limit"), AGE), _quota),
    "PersistentVolumeClaim": Table(
        (NAME, Column("Status"), Column("Volume"), Column("Capacity"), Column("Access Modes"), Column("StorageClass"),
         Column("VolumeAttributesClass"), AGE, wide("VolumeMode")),
        _claim,
    ),
    "PersistentVolume": Table(
        (NAME, Column("Capacity"), Column("Access Modes"), Column("Reclaim Policy"), Column("Status"), Column("Claim"),
         Column("StorageClass"), Column("VolumeAttributesClass"), Column("Reason"), AGE, wide("VolumeMode")),
        _volume,
    ),
    "StorageClass": Table(
        (NAME, Column("Provisioner"), Column("ReclaimPolicy"), Column("VolumeBindingMode"),
         Column("AllowVolumeExpansion"), AGE),
        _storage_class,
    ),
}  # fmt: skip
