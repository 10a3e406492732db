"""Who stands behind a Service: Endpoints and EndpointSlices, derived from its pods again and again.

A pod that is not ready is listed as not ready; a pod without an address, or one that has ended, is not listed.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.label_selectors import Requirement, matches
from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    containers_of,
    is_ready,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from mlflow_ops_sandbox.cluster.api.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, to_rfc3339

_SERVICE_LABEL = "kubernetes.io/service-name"


def pods_of(store: Store, service: Object) -> list[Object]:
    """Return the pods that a Service selects and that have an address, in the order of their names."""
    chosen = service["spec"].get("selector")
    if not chosen:
        return []
    selector = tuple(Requirement(key, "in", frozenset({value})) for key, value in chosen.items())
    return [
        pod
        for pod in store.all(PODS, namespace_of(service))
        if matches(selector, labels_of(pod))
        and pod["status"].get("podIP")
        and pod["status"].get("phase") not in {"Succeeded", "Failed"}
    ]


def target_port(service_port: Object, pod: Object) -> int | None:
    """Return the port of the pod that a port of the Service means; named ports are looked up."""
    wanted = service_port.get("targetPort", service_port["port"])
    if isinstance(wanted, int):
        return wanted
    ports = (port for container in containers_of(pod) for port in container.get("ports") or ())
    return next((int(port["containerPort"]) for port in ports if port.get("name") == wanted), None)


@dataclass(frozen=True, slots=True)
class EndpointsController:
    """Keeps Endpoints and EndpointSlices in step."""

    store: Store
    clock: Clock

    def reconcile(self) -> None:
        """Bring everything in step; writes only what differs."""
        services = {uid_of(service): service for service in self.store.all(SERVICES)}
        for service in services.values():
            if service["spec"].get("selector"):
                pods = pods_of(self.store, service)
                self._write_slice(service, pods)
                self._write_endpoints(service, pods)
        for entry in self.store.all(ENDPOINT_SLICES):
            owners = entry["metadata"].get("ownerReferences") or ()
            if owners and owners[0]["uid"] not in services:
                self.store.delete(ENDPOINT_SLICES, namespace_of(entry), name_of(entry))
                if self.store.find(ENDPOINTS, namespace_of(entry), owners[0]["name"]):
                    self.store.delete(ENDPOINTS, namespace_of(entry), owners[0]["name"])

    def _write_slice(self, service: Object, pods: list[Object]) -> None:
        body: Object = {
            "endpoints": [_endpoint(pod) for pod in pods],
            "ports": [
                {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": target}
                for port in service["spec"].get("ports") or ()
                if (target := _number(port, pods)) is not None
            ],
        }
        namespace = namespace_of(service)
        for entry in self.store.all(ENDPOINT_SLICES, namespace):
            if labels_of(entry).get(_SERVICE_LABEL) == name_of(service):
                self.store.update(ENDPOINT_SLICES, namespace, name_of(entry), lambda item: item.update(body))
                return
        metadata = {
            "generateName": f"{name_of(service)}-",
            "namespace": namespace,
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                _SERVICE_LABEL: name_of(service),
            },
            "ownerReferences": [owner_reference("v1", "Service", service)],
        }
        self.store.create(ENDPOINT_SLICES, {"metadata": metadata, "addressType": "IPv4", **body})

    def _write_endpoints(self, service: Object, pods: list[Object]) -> None:
        ready = [_address(pod) for pod in pods if is_ready(pod) and not is_terminating(pod)]
        unready = [_address(pod) for pod in pods if not is_ready(pod) and not is_terminating(pod)]
        ports = [
            {
                **({"name": port["name"]} if port.get("name") else {}),
                "port": target,
                "protocol": port.get("protocol", "TCP"),
            }
            for port in service["spec"].get("ports") or ()
            if (target := _number(port, pods)) is not None
        ]
        subset: Object = {"addresses": ready} if ready else {}
        subset |= {"notReadyAddresses": unready} if unready else {}
        subsets = [{**subset, "ports": ports}] if subset else None
        now = to_rfc3339(self.clock())

        def change(item: Object) -> None:
            if item.get("subsets") == subsets:
                return
            item["metadata"].setdefault("annotations", {})["endpoints.kubernetes.io/last-change-trigger-time"] = now
            item.pop("subsets", None)
            if subsets:
                item["subsets"] = subsets

        namespace, name = namespace_of(service), name_of(service)
        if self.store.find(ENDPOINTS, namespace, name) is None:
            labels = {**labels_of(service), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
            self.store.create(ENDPOINTS, {"metadata": {"name": name, "namespace": namespace, "labels": labels}})
        self.store.update(ENDPOINTS, namespace, name, change)


def _number(port: Object, pods: list[Object]) -> int | None:
    wanted = port.get("targetPort", port["port"])
    if isinstance(wanted, int):
        return wanted
    return next((number for pod in pods if (number := target_port(port, pod)) is not None), None)


def _reference(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}


def _endpoint(pod: Object) -> Object:
    ready, terminating = is_ready(pod), is_terminating(pod)
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready and not terminating, "serving": ready, "terminating": terminating},
        "targetRef": _reference(pod),
        "nodeName": pod["spec"].get("nodeName", ""),
    }


def _address(pod: Object) -> Object:
    return {
        "ip": pod["status"]["podIP"],
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": _reference(pod),
    }
