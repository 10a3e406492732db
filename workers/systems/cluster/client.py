"""Kubernetes: the objects of one namespace, and what is asked of the whole cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from workers.systems.cluster.requests import Json, Requests
from workers.systems.errors import ClusterConflict, ClusterInvalid, ClusterNotFound

if TYPE_CHECKING:
    from workers.settings import Settings


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster. Safe for threads. Methods raise ClusterError or Nonsense."""

    requests: Requests
    namespace: str

    @classmethod
    def connect(cls, settings: Settings) -> Cluster:
        """From KUBECONFIG, else the pod's service account. Raises SettingsError where there is neither."""
        return cls(Requests.connect(settings), settings.ops.kubernetes.namespace)

    def within(self, seconds: float) -> Cluster:
        """The same cluster with another patience: how long one call may be silent."""
        return replace(self, requests=replace(self.requests, answer_within_seconds=seconds))

    @property
    def address(self) -> str:
        """host:port of the API server."""
        return self.requests.address

    def deployment(self, name: str) -> Json:
        """One Deployment."""
        return self.requests.get(self.path("deployments", name, group="apis/apps/v1"))

    def pods(self, selector: str) -> list[Json]:
        """The pods with these labels."""
        return self.requests.pages(self.path("pods"), labelSelector=selector)

    def services(self) -> list[Json]:
        """All Services of the namespace."""
        return self.requests.pages(self.path("services"))

    def endpoint_slices(self) -> list[Json]:
        """All EndpointSlices of the namespace."""
        return self.requests.pages(self.path("endpointslices", group="apis/discovery.k8s.io/v1"))

    def ingress(self, name: str) -> Json:
        """One Ingress."""
        return self.requests.get(self.path("ingresses", name, group="apis/networking.k8s.io/v1"))

    def secret(self, name: str) -> Json:
        """One Secret, its values in base64 as Kubernetes holds them."""
        return self.requests.get(self.path("secrets", name))

    def warnings(self) -> list[Json]:
        """The events of type Warning that the namespace still remembers (an hour, by default)."""
        return self.requests.pages(self.path("events"), fieldSelector="type=Warning")

    def pod_usage(self, selector: str) -> list[Json]:
        """What pods use now, as metrics-server last measured. ClusterNotFound where it is not installed."""
        return self.requests.pages(self.path("pods", group="apis/metrics.k8s.io/v1beta1"), labelSelector=selector)

    def log_lines(
        self,
        pod: str,
        container: str,
        *,
        since_seconds: int | None = None,
        tail_lines: int | None = None,
        previous: bool = False,
    ) -> Iterator[str]:
        """A container's log, oldest line first, each begun by its RFC 3339 time; read as it arrives.

        previous: before its last restart.
        """
        path = self.path("pods", pod) + "/log"
        asked = {"sinceSeconds": since_seconds, "tailLines": tail_lines, "previous": "true" if previous else None}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        return self.requests.lines(path, container=container, **given, timestamps="true")

    def log_bytes(self, pod: str, container: str, *, previous: bool = False) -> Iterator[bytes]:
        """All that a container has logged, as it stands; previous: before its last restart. Read as it arrives."""
        path = self.path("pods", pod) + "/log"
        return self.requests.chunks(path, container=container, previous=str(previous).lower())

    def scale(self, name: str) -> Json:
        """The scale subresource of a Deployment, with its resourceVersion."""
        return self.requests.get(self.path("deployments", name, group="apis/apps/v1") + "/scale")

    def set_scale(self, name: str, scale: Json) -> Json:
        """Write it. Raises ClusterConflict where the Deployment was changed since its resourceVersion."""
        return self.requests.send(self.path("deployments", name, group="apis/apps/v1") + "/scale", "PUT", scale)

    def patch_deployment(self, name: str, patch: Json) -> Json:
        """A strategic merge patch: lists such as containers are merged by name."""
        path = self.path("deployments", name, group="apis/apps/v1")
        return self.requests.send(path, "PATCH", patch, content_type="application/strategic-merge-patch+json")

    def replace_template(self, name: str, template: Json, *, generation: int) -> Json:
        """Put a whole pod template in the place of a Deployment's, as `kubectl rollout undo` does.

        generation: the Deployment's; raises ClusterConflict where its spec was changed since.
        """
        patch: Sequence[Json] = [
            {"op": "test", "path": "/metadata/generation", "value": generation},
            {"op": "replace", "path": "/spec/template", "value": template},
        ]
        path = self.path("deployments", name, group="apis/apps/v1")
        try:
            return self.requests.send(path, "PATCH", patch, content_type="application/json-patch+json")
        except ClusterInvalid:
            if int(self.deployment(name)["metadata"].get("generation", 0)) == generation:
                raise
            raise ClusterConflict(f"Someone else has changed deployment/{name} meanwhile.", "Ask again.") from None

    def replica_sets(self, selector: str) -> list[Json]:
        """The ReplicaSets with these labels: a Deployment's revisions."""
        return self.requests.pages(self.path("replicasets", group="apis/apps/v1"), labelSelector=selector)

    def disruption_budgets(self) -> list[Json]:
        """All PodDisruptionBudgets of the namespace."""
        return self.requests.pages(self.path("poddisruptionbudgets", group="apis/policy/v1"))

    def limit_ranges(self) -> list[Json]:
        """All LimitRanges of the namespace."""
        return self.requests.pages(self.path("limitranges"))

    def resource_quotas(self) -> list[Json]:
        """All ResourceQuotas of the namespace."""
        return self.requests.pages(self.path("resourcequotas"))

    def volume_claims(self) -> list[Json]:
        """All PersistentVolumeClaims of the namespace."""
        return self.requests.pages(self.path("persistentvolumeclaims"))

    def nodes(self) -> list[Json]:
        """All nodes of the cluster."""
        return self.requests.pages("/api/v1/nodes")

    def all_pods(self) -> list[Json]:
        """The pods of all namespaces that have not ended."""
        return self.requests.pages("/api/v1/pods", fieldSelector="status.phase!=Succeeded,status.phase!=Failed")

    def create_job(self, job: Json) -> Json:
        """Create a Job."""
        return self.requests.send(self.path("jobs", group="apis/batch/v1"), "POST", job)

    def job(self, name: str) -> Json:
        """One Job."""
        return self.requests.get(self.path("jobs", name, group="apis/batch/v1"))

    def jobs(self, selector: str) -> list[Json]:
        """The Jobs of the namespace with these labels."""
        return self.requests.pages(self.path("jobs", group="apis/batch/v1"), labelSelector=selector)

    def delete_job(self, name: str) -> None:
        """Delete a Job with its pods; that it is not there is no error."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            self.requests.send(self.path("jobs", name, group="apis/batch/v1"), "DELETE", options)
        except ClusterNotFound:
            return

    def autoscalers(self) -> list[Json]:
        """All HorizontalPodAutoscalers of the namespace."""
        return self.requests.pages(self.path("horizontalpodautoscalers", group="apis/autoscaling/v2"))

    def configmap(self, name: str) -> Json:
        """One ConfigMap."""
        return self.requests.get(self.path("configmaps", name))

    def patch_configmap(self, name: str, patch: Json) -> Json:
        """A merge patch: null removes a key. Raises ClusterConflict where it names an older resourceVersion."""
        path = self.path("configmaps", name)
        return self.requests.send(path, "PATCH", patch, content_type="application/merge-patch+json")

    def certificates(self) -> list[Json]:
        """cert-manager's Certificates of the namespace. ClusterNotFound where it is not installed."""
        return self.requests.pages(self.path("certificates", group="apis/cert-manager.io/v1"))

    def set_certificate_status(self, name: str, certificate: Json) -> Json:
        """Write the status alone. Raises ClusterConflict where the Certificate was changed since it was read."""
        path = self.path("certificates", name, group="apis/cert-manager.io/v1") + "/status"
        return self.requests.send(path, "PUT", certificate)

    def may(self, verb: str, group: str, resource: str, name: str = "", *, everywhere: bool = False) -> bool:
        """Whether our account may do this in the namespace, or in the whole cluster.

        resource: as in a Role, with its subresource ("pods/log"). name: of one object only.
        """
        kind, _, subresource = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": kind}
        if not everywhere:
            asked["namespace"] = self.namespace
        if subresource:
            asked["subresource"] = subresource
        if name:
            asked["name"] = name
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self.requests.review("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool((answer.get("status") or {}).get("allowed"))

    def named(self, kind: str, name: str, group: str = "api/v1") -> Json:
        """One object of any kind. kind: in the plural ("configmaps"); group: as in its path ("apis/batch/v1")."""
        return self.requests.get(self.path(kind, name, group=group))

    def every(self, kind: str, group: str = "api/v1", *, selector: str = "") -> list[Json]:
        """All objects of any kind in the namespace, or those with these labels.

        Raises ClusterNotFound where the cluster does not know the kind.
        """
        labelled = {"labelSelector": selector} if selector else {}
        return self.requests.pages(self.path(kind, group=group), **labelled)

    def create(self, kind: str, item: Json, group: str = "api/v1", *, dry: bool = False) -> Json:
        """Create an object of any kind; with `dry` the server only says what it would be."""
        query = {"dryRun": "All"} if dry else {}
        return self.requests.send(self.path(kind, group=group), "POST", item, **query)

    def replace(self, kind: str, item: Json, group: str = "api/v1", *, dry: bool = False) -> Json:
        """Put an object in the place of the one with its name. Raises ClusterConflict where that was changed since its
        resourceVersion.
        """
        query = {"dryRun": "All"} if dry else {}
        return self.requests.send(self.path(kind, item["metadata"]["name"], group=group), "PUT", item, **query)

    def remove(self, kind: str, name: str, group: str = "api/v1") -> None:
        """Delete an object of any kind; it stays there until what it owns is gone. That it is not there is no error."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
        try:
            self.requests.send(self.path(kind, name, group=group), "DELETE", options)
        except ClusterNotFound:
            return

    def knows(self, kind: str, group: str) -> bool:
        """Whether the cluster has that kind: a CustomResourceDefinition may not be installed."""
        try:
            found = self.requests.get(f"/{group}").get("resources") or []
        except ClusterNotFound:
            return False
        return any(each.get("name") == kind for each in found)

    def path(self, kind: str, name: str = "", group: str = "api/v1") -> str:
        """Of a kind in the namespace, or of one object of it."""
        tail = f"/{quote(name, safe='')}" if name else ""
        return f"/{group}/namespaces/{quote(self.namespace, safe='')}/{kind}{tail}"
