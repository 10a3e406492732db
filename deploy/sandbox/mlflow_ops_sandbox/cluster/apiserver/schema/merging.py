"""How lists and maps merge: the keys of lists of objects, sets of values, and what is replaced as a whole.

The facts are those of ``patchMergeKey``, ``patchStrategy``, ``listType``, ``listMapKey`` and ``mapType`` in
k8s.io/api. A list that is not named here is replaced as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Merge:
    """How one field merges."""

    patch_key: str = ""
    """Key of strategic merge; empty with ``merges`` for lists of plain values."""
    apply_keys: tuple[str, ...] = ()
    """Keys of server-side apply; empty where it replaces the list (or takes it for a set)."""
    merges: bool = True
    """Whether strategic merge merges it at all."""
    is_set: bool = False
    retains_keys: bool = False


def _by(key: str, *apply_keys: str, retains_keys: bool = False) -> Merge:
    return Merge(key, apply_keys or (key,), retains_keys=retains_keys)


_CONTAINER = {
    "ports": _by("containerPort", "containerPort", "protocol"),
    "env": _by("name"),
    "volumeMounts": _by("mountPath"),
    "volumeDevices": _by("devicePath"),
}
_CONDITIONS = {"conditions": _by("type")}
_PORTS = {"ports": _by("port", "port", "protocol")}
_SET = Merge(is_set=True)

MERGES: dict[str, dict[str, Merge]] = {
    "ObjectMeta": {
        "ownerReferences": _by("uid"),
        "finalizers": _SET,
        "managedFields": Merge(merges=False),
    },
    "PodSpec": {
        "volumes": _by("name", retains_keys=True),
        "containers": _by("name"),
        "initContainers": _by("name"),
        "ephemeralContainers": _by("name"),
        "imagePullSecrets": _by("name"),
        "hostAliases": _by("ip"),
        "topologySpreadConstraints": _by("topologyKey", "topologyKey", "whenUnsatisfiable"),
        "schedulingGates": _by("name"),
        "resourceClaims": _by("name", retains_keys=True),
    },
    "Container": _CONTAINER,
    "EphemeralContainer": _CONTAINER,
    "ResourceRequirements": {"claims": Merge("", ("name",), merges=False)},
    "DeploymentSpec": {"strategy": Merge(retains_keys=True)},
    "DaemonSetSpec": {},
    "ServiceSpec": _PORTS,
    "ServiceAccount": {"secrets": _by("name"), "imagePullSecrets": Merge(merges=False)},
    "PodStatus": {
        **_CONDITIONS,
        "podIPs": _by("ip"),
        "hostIPs": Merge("ip", (), merges=True),
    },
    "NodeSpec": {"podCIDRs": _SET},
    "NodeStatus": {**_CONDITIONS, "addresses": _by("type")},
    "HorizontalPodAutoscalerStatus": _CONDITIONS,
    **dict.fromkeys(
        (
            "DeploymentStatus", "ReplicaSetStatus", "StatefulSetStatus", "DaemonSetStatus", "ServiceStatus",
            "NamespaceStatus", "PersistentVolumeClaimStatus", "PodDisruptionBudgetStatus",
        ),
        _CONDITIONS,
    ),
    "JobStatus": {"conditions": Merge("type", ())},
}  # fmt: skip
"""By the name of the type and the name of the field."""

ATOMIC_TYPES = frozenset(
    {
        "LabelSelector", "SecretKeySelector", "ConfigMapKeySelector", "ObjectFieldSelector", "ResourceFieldSelector",
        "LocalObjectReference", "ObjectReference", "NodeSelector", "NodeSelectorTerm", "TypedLocalObjectReference",
        "RoleRef", "Subject", "SecretReference", "FileKeySelector", "ScopeSelector",
    }
)  # fmt: skip
"""Objects that server-side apply takes as one value."""

ATOMIC_MAPS = frozenset({("PodSpec", "nodeSelector"), ("ServiceSpec", "selector")})
"""Maps that server-side apply takes as one value."""

QUANTITIES = frozenset(
    {
        ("ResourceRequirements", "limits"), ("ResourceRequirements", "requests"),
        ("VolumeResourceRequirements", "limits"), ("VolumeResourceRequirements", "requests"),
        ("PodSpec", "overhead"), ("ResourceQuotaSpec", "hard"), ("ResourceQuotaStatus", "hard"),
        ("ResourceQuotaStatus", "used"), ("LimitRangeItem", "default"), ("LimitRangeItem", "defaultRequest"),
        ("LimitRangeItem", "max"), ("LimitRangeItem", "min"), ("LimitRangeItem", "maxLimitRequestRatio"),
        ("PersistentVolumeClaimStatus", "capacity"), ("PersistentVolumeSpec", "capacity"), ("NodeStatus", "capacity"),
        ("NodeStatus", "allocatable"), ("EmptyDirVolumeSource", "sizeLimit"), ("MetricTarget", "averageValue"),
        ("MetricTarget", "value"), ("MetricValueStatus", "averageValue"), ("MetricValueStatus", "value"),
        ("ResourceFieldSelector", "divisor"), ("ContainerStatus", "allocatedResources"),
    }
)  # fmt: skip
"""Fields that are quantities, or maps of them."""

INT_OR_STRING = frozenset({"maxSurge", "maxUnavailable", "minAvailable", "targetPort", "port"})

LONG = frozenset(
    {
        "terminationGracePeriodSeconds", "activeDeadlineSeconds", "generation", "observedGeneration",
        "gracePeriodSeconds",
        "tolerationSeconds", "deletionGracePeriodSeconds", "runAsUser", "runAsGroup", "fsGroup",
        "startingDeadlineSeconds",
        "expirationSeconds",
    }
)  # fmt: skip
"""Whole numbers of 64 bits; the others have 32."""

POINTERS = frozenset(
    {
        "replicas", "revisionHistoryLimit", "progressDeadlineSeconds", "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "activeDeadlineSeconds", "backoffLimit", "completions", "parallelism", "ttlSecondsAfterFinished", "immutable",
        "suspend", "controller", "blockOwnerDeletion", "optional", "automountServiceAccountToken", "enableServiceLinks",
        "storageClassName", "ingressClassName", "minReplicas", "priority", "defaultMode", "mode", "privileged",
        "allowPrivilegeEscalation", "readOnlyRootFilesystem", "runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup",
        "partition", "successfulJobsHistoryLimit", "failedJobsHistoryLimit", "startingDeadlineSeconds",
        "manualSelector",
        "gracePeriodSeconds", "orphanDependents", "averageUtilization", "shareProcessNamespace", "setHostnameAsFQDN",
        "stabilizationWindowSeconds", "hostUsers", "started", "allocateLoadBalancerNodePorts", "timeZone", "seconds",
        "ready", "serving", "terminating", "restartCount", "status", "type", "reason", "message", "image", "imageID",
        "name", "allowed", "denied", "maxSurge", "maxUnavailable", "minAvailable",
    }
)  # fmt: skip
"""Fields whose zero value is kept, because it says something or because it is always written."""
