"""What the API server fills in when an object is created: the fields that nobody wrote and that every reader relies
on.

Follows pkg/apis/*/v1/defaults.go for the kinds that are used here. Each function edits the object in place; the
caller owns it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.quantities import parse_quantity

_QUALITY: Final = {"cpu", "memory"}


def default_pod_spec(spec: Object) -> None:
    """Fill in a pod spec, alone or within a template."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        _default_container(container)
    for volume in spec.get("volumes") or ():
        for source in ("secret", "configMap", "projected", "downwardAPI"):
            if source in volume:
                volume[source].setdefault("defaultMode", 420)
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])


def _default_container(container: Object) -> None:
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    container.setdefault("resources", {})
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if kind in container:
            _default_probe(container[kind])
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    latest = "@" not in image and tag in {"", "latest"}
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")


def _default_probe(probe: Object) -> None:
    if "httpGet" in probe:
        probe["httpGet"].setdefault("scheme", "HTTP")
        probe["httpGet"].setdefault("path", "/")
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)


def default_deployment(item: Object) -> None:
    """Fill in a Deployment."""
    spec = item["spec"]
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    default_pod_spec(spec["template"]["spec"])
    item.setdefault("status", {})


def default_stateful_set(item: Object) -> None:
    """Fill in a StatefulSet."""
    spec = item["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})
    default_pod_spec(spec["template"]["spec"])
    item.setdefault("status", {"replicas": 0})


def default_behavior(behavior: Object) -> None:
    """Fill in the behavior of an autoscaler, where it has one: both sides then have all but a window for going down."""
    hundred = {"type": "Percent", "value": 100, "periodSeconds": 15}
    up, down = (behavior.setdefault(side, {}) for side in ("scaleUp", "scaleDown"))
    up.setdefault("stabilizationWindowSeconds", 0)
    for rules, policies in ((up, [{"type": "Pods", "value": 4, "periodSeconds": 15}, hundred]), (down, [hundred])):
        rules.setdefault("selectPolicy", "Max")
        rules.setdefault("policies", policies)


def default_service(item: Object, cluster_ip: str) -> None:
    """Fill in a Service."""
    spec = item["spec"]
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    spec.setdefault("type", "ClusterIP")
    if spec["type"] != "ExternalName":
        spec.setdefault("clusterIP", cluster_ip)
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("sessionAffinity", "None")
    item.setdefault("status", {"loadBalancer": {}})


def default_pod(item: Object, token_volume: str) -> None:
    """Fill in a Pod as admission does: the service account, its token volume, tolerations, priority."""
    spec = item.setdefault("spec", {})
    default_pod_spec(spec)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        limits = container["resources"].get("limits") or {}
        if limits:
            # Of a pod alone: in a template a limit without a request stays without.
            container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    spec.setdefault("volumes", []).append(_token_volume(token_volume))
    for container in spec.get("containers") or ():
        mount = {
            "name": token_volume,
            "readOnly": True,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }
        container.setdefault("volumeMounts", []).append(mount)
    spec.setdefault(
        "tolerations",
        [
            {
                "key": f"node.kubernetes.io/{taint}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            }
            for taint in ("not-ready", "unreachable")
        ],
    )
    spec.setdefault("priority", 0)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    item.setdefault("status", {"phase": "Pending", "qosClass": quality_of_service(spec)})


def quality_of_service(spec: Object) -> str:
    """Return Guaranteed, Burstable or BestEffort, by processors and memory alone.

    Source: pkg/apis/core/v1/helper/qos/qos.go of Kubernetes.
    """
    every = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    stated = [(_counted(each, "requests"), _counted(each, "limits")) for each in every]
    if not any(requests or limits for requests, limits in stated):
        return "BestEffort"
    guaranteed = all(set(limits) == _QUALITY and requests == limits for requests, limits in stated)
    return "Guaranteed" if guaranteed else "Burstable"


def _counted(container: Object, field: str) -> dict[str, Decimal]:
    given = (container.get("resources") or {}).get(field) or {}
    amounts = {name: parse_quantity(given[name]) for name in given if name in _QUALITY}
    return {name: amount for name, amount in amounts.items() if amount}


def _token_volume(name: str) -> Object:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
            "defaultMode": 420,
        },
    }
