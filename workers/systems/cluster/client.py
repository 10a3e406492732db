"""Kubernetes, through the official client's connection and credentials, but with plain JSON.

Traps this avoids: the client has no timeout of its own and repeats a timed-out GET three times (retries are off);
its typed models take ten times as long to parse and refuse answers that are merely unusual, so paths and
dictionaries are used instead; urllib3's exceptions come through unwrapped and are translated here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

from workers.settings import SettingsError
from workers.systems import connections
from workers.systems.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterInvalid,
    ClusterNotFound,
    ClusterNotReady,
    ClusterUnavailable,
    ClusterUnreachable,
    Nonsense,
)

if TYPE_CHECKING:
    from workers.settings import Settings

PAGE = 500
"""Objects per page of a list, as kubectl asks for them."""
CONNECT_SECONDS = 3.0
LONGEST_LINE = 16_384
"""Characters of one log line that are kept; the rest of the line is skipped."""

PROGRAM = "mlflow-ops/"
"""How requests begin to say who sends them; a cluster's audit log shows it."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster. Safe for threads. Methods raise ClusterError or Nonsense.

    answer_within_seconds: how long one call may be silent.
    """

    api: ApiClient
    namespace: str
    answer_within_seconds: float = 10.0

    @classmethod
    def connect(cls, settings: Settings) -> Cluster:
        """From KUBECONFIG, else the pod's service account. Raises SettingsError where there is neither."""
        configuration = Configuration()
        kubeconfig = settings.environment.kubeconfig
        try:
            if kubeconfig:
                load_kube_config(config_file=kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
            elif os.environ.get("KUBERNETES_SERVICE_HOST"):
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                msg = (
                    "KUBECONFIG is not set and this is not a pod: set it to the path of a kubeconfig, "
                    "or run with a service account."
                )
                raise SettingsError(msg)
        # The client trips over YAML that is no kubeconfig with the last two.
        except (ConfigException, OSError, yaml.YAMLError, TypeError, AttributeError) as error:
            source = f"KUBECONFIG {kubeconfig}" if kubeconfig else "The pod's service account"
            msg = f"{source} cannot be used: {_why(error)}."
            raise ClusterError(msg, "Check the file and its current context.") from None
        configuration.retries = False
        # The checks ask side by side with 24 threads; what goes beyond the pool is thrown away, with a warning each.
        configuration.connection_pool_maxsize = 32
        client = ApiClient(configuration)
        client.user_agent = PROGRAM + version("mlflow-ops")
        return cls(client, settings.ops.kubernetes.namespace)

    def within(self, seconds: float) -> Cluster:
        """The same cluster with another patience."""
        return replace(self, answer_within_seconds=seconds)

    @property
    def address(self) -> str:
        """host:port of the API server."""
        return urlsplit(str(self.api.configuration.host)).netloc

    def deployment(self, name: str) -> Json:
        """One Deployment."""
        return self.get(self._path("deployments", name, group="apis/apps/v1"))

    def pods(self, selector: str) -> list[Json]:
        """The pods with these labels."""
        return self.list(self._path("pods"), labelSelector=selector)

    def services(self) -> list[Json]:
        """All Services of the namespace."""
        return self.list(self._path("services"))

    def endpoint_slices(self) -> list[Json]:
        """All EndpointSlices of the namespace."""
        return self.list(self._path("endpointslices", group="apis/discovery.k8s.io/v1"))

    def ingress(self, name: str) -> Json:
        """One Ingress."""
        return self.get(self._path("ingresses", name, group="apis/networking.k8s.io/v1"))

    def secret(self, name: str) -> Json:
        """One Secret, its values in base64 as Kubernetes holds them."""
        return self.get(self._path("secrets", name))

    def warnings(self) -> list[Json]:
        """The events of type Warning that the namespace still remembers (an hour, by default)."""
        return self.list(self._path("events"), fieldSelector="type=Warning")

    def pod_usage(self, selector: str) -> list[Json]:
        """What pods use now, as metrics-server last measured. ClusterNotFound where it is not installed."""
        return self.list(self._path("pods", group="apis/metrics.k8s.io/v1beta1"), labelSelector=selector)

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
        path = self._path("pods", pod) + "/log"
        asked = {"sinceSeconds": since_seconds, "tailLines": tail_lines, "previous": "true" if previous else None}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        response = self._open(path, container=container, **given, timestamps="true")
        try:
            yield from _lines(response)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        finally:
            response.release_conn()

    def log_bytes(self, pod: str, container: str, *, previous: bool = False) -> Iterator[bytes]:
        """All that a container has logged, as it stands; previous: before its last restart. Read as it arrives."""
        path = self._path("pods", pod) + "/log"
        response = self._open(path, container=container, previous=str(previous).lower())
        try:
            yield from response.stream(65_536, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        finally:
            response.release_conn()

    def scale(self, name: str) -> Json:
        """The scale subresource of a Deployment, with its resourceVersion."""
        return self.get(self._path("deployments", name, group="apis/apps/v1") + "/scale")

    def set_scale(self, name: str, scale: Json) -> Json:
        """Write it. Raises ClusterConflict where the Deployment was changed since its resourceVersion."""
        return self._json(self._open(self._path("deployments", name, group="apis/apps/v1") + "/scale", "PUT", scale))

    def patch_deployment(self, name: str, patch: Json) -> Json:
        """A strategic merge patch: lists such as containers are merged by name."""
        path = self._path("deployments", name, group="apis/apps/v1")
        return self._json(self._open(path, "PATCH", patch, content_type="application/strategic-merge-patch+json"))

    def replace_template(self, name: str, template: Json, *, generation: int) -> Json:
        """Put a whole pod template in the place of a Deployment's, as `kubectl rollout undo` does.

        generation: the Deployment's; raises ClusterConflict where its spec was changed since.
        """
        patch: Sequence[Json] = [
            {"op": "test", "path": "/metadata/generation", "value": generation},
            {"op": "replace", "path": "/spec/template", "value": template},
        ]
        path = self._path("deployments", name, group="apis/apps/v1")
        try:
            return self._json(self._open(path, "PATCH", patch, content_type="application/json-patch+json"))
        except ClusterInvalid:
            if int(self.deployment(name)["metadata"].get("generation", 0)) == generation:
                raise
            raise ClusterConflict(f"Somebody else has changed deployment/{name} meanwhile.", "Ask again.") from None

    def replica_sets(self, selector: str) -> list[Json]:
        """The ReplicaSets with these labels: a Deployment's revisions."""
        return self.list(self._path("replicasets", group="apis/apps/v1"), labelSelector=selector)

    def disruption_budgets(self) -> list[Json]:
        """All PodDisruptionBudgets of the namespace."""
        return self.list(self._path("poddisruptionbudgets", group="apis/policy/v1"))

    def limit_ranges(self) -> list[Json]:
        """All LimitRanges of the namespace."""
        return self.list(self._path("limitranges"))

    def resource_quotas(self) -> list[Json]:
        """All ResourceQuotas of the namespace."""
        return self.list(self._path("resourcequotas"))

    def nodes(self) -> list[Json]:
        """All nodes of the cluster."""
        return self.list("/api/v1/nodes")

    def all_pods(self) -> list[Json]:
        """The pods of all namespaces that have not ended."""
        return self.list("/api/v1/pods", fieldSelector="status.phase!=Succeeded,status.phase!=Failed")

    def create_job(self, job: Json) -> Json:
        """Create a Job."""
        return self._json(self._open(self._path("jobs", group="apis/batch/v1"), "POST", job))

    def job(self, name: str) -> Json:
        """One Job."""
        return self.get(self._path("jobs", name, group="apis/batch/v1"))

    def jobs(self, selector: str) -> list[Json]:
        """The Jobs of the namespace with these labels."""
        return self.list(self._path("jobs", group="apis/batch/v1"), labelSelector=selector)

    def delete_job(self, name: str) -> None:
        """Delete a Job with its pods; that it is not there is no error."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            self._json(self._open(self._path("jobs", name, group="apis/batch/v1"), "DELETE", options))
        except ClusterNotFound:
            return

    def autoscalers(self) -> list[Json]:
        """All HorizontalPodAutoscalers of the namespace."""
        return self.list(self._path("horizontalpodautoscalers", group="apis/autoscaling/v2"))

    def configmap(self, name: str) -> Json:
        """One ConfigMap."""
        return self.get(self._path("configmaps", name))

    def patch_configmap(self, name: str, patch: Json) -> Json:
        """A merge patch: null removes a key. Raises ClusterConflict where it names an older resourceVersion."""
        path = self._path("configmaps", name)
        return self._json(self._open(path, "PATCH", patch, content_type="application/merge-patch+json"))

    def certificates(self) -> list[Json]:
        """cert-manager's Certificates of the namespace. ClusterNotFound where it is not installed."""
        return self.list(self._path("certificates", group="apis/cert-manager.io/v1"))

    def set_certificate_status(self, name: str, certificate: Json) -> Json:
        """Write the status alone. Raises ClusterConflict where the Certificate was changed since it was read."""
        path = self._path("certificates", name, group="apis/cert-manager.io/v1") + "/status"
        return self._json(self._open(path, "PUT", certificate))

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
        answer = self._json(self._open("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "POST", review))
        return bool((answer.get("status") or {}).get("allowed"))

    def named(self, kind: str, name: str, group: str = "api/v1") -> Json:
        """One object of any kind. kind: in the plural ("configmaps"); group: as in its path ("apis/batch/v1")."""
        return self.get(self._path(kind, name, group=group))

    def every(self, kind: str, group: str = "api/v1") -> list[Json]:
        """All objects of any kind in the namespace. ClusterNotFound where the cluster does not know the kind."""
        return self.list(self._path(kind, group=group))

    def create(self, kind: str, item: Json, group: str = "api/v1", *, dry: bool = False) -> Json:
        """Create an object of any kind; with `dry` the server only says what it would be."""
        query = {"dryRun": "All"} if dry else {}
        return self._json(self._open(self._path(kind, group=group), "POST", item, **query))

    def replace(self, kind: str, item: Json, group: str = "api/v1", *, dry: bool = False) -> Json:
        """Put an object in the place of the one with its name. Raises ClusterConflict where that was changed since its
        resourceVersion.
        """
        query = {"dryRun": "All"} if dry else {}
        return self._json(self._open(self._path(kind, item["metadata"]["name"], group=group), "PUT", item, **query))

    def get(self, path: str, **query: Any) -> Json:
        """GET a path of the API; the answer must be a JSON object."""
        return self._json(self._open(path, **query))

    def _json(self, response: urllib3.BaseHTTPResponse) -> Json:
        try:
            body = response.data
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            msg = f"Kubernetes at {self.address} answered something that is not JSON."
            raise Nonsense(msg, "Check that the address is an API server's and not a proxy's.")
        return answer

    def list(self, path: str, **query: Any) -> list[Json]:
        """All items of a list, page by page."""
        items: list[Json] = []
        onward: str = ""
        while True:
            page = self.get(path, limit=PAGE, **query, **({"continue": onward} if onward else {}))
            found, metadata = page.get("items"), page.get("metadata")
            # A Go server writes an empty list as null.
            if not isinstance(found, list | None) or not isinstance(metadata, dict | None):
                msg = f"Kubernetes at {self.address} answered a list without items."
                raise Nonsense(msg)
            items.extend(found or [])
            before, onward = onward, str((metadata or {}).get("continue") or "")
            if not onward:
                return items
            if onward == before:
                msg = f"Kubernetes at {self.address} answered the same page twice."
                raise Nonsense(msg)

    def _path(self, kind: str, name: str = "", group: str = "api/v1") -> str:
        tail = f"/{quote(name, safe='')}" if name else ""
        return f"/{group}/namespaces/{quote(self.namespace, safe='')}/{kind}{tail}"

    def _open(
        self,
        path: str,
        method: str = "GET",
        sent: Json | Sequence[Json] | None = None,
        content_type: str = "application/json",
        **query: Any,
    ) -> urllib3.BaseHTTPResponse:
        """A response with status 2xx whose body has not been read."""
        try:
            accept = {"Accept": "application/json, */*"}
            method, url, headers, body, *_ = self.api.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params=accept | ({"Content-Type": content_type} if sent else {}),
                body=sent,
                auth_settings=["BearerToken"],
            )
            patience = (min(CONNECT_SECONDS, self.answer_within_seconds), self.answer_within_seconds)
            answer = self.api.call_api(method, url, header_params=headers, body=body, _request_timeout=patience)
            response: urllib3.BaseHTTPResponse = answer.response
            if response.status < 300:  # noqa: PLR2004 - HTTP's first status that is no success
                return response
            raise self._refusal(response.status, response.data)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        except ApiException:  # what the client makes of urllib3's SSLError, and of nothing else here
            raise self._unreachable(urllib3.exceptions.SSLError()) from None

    def _refusal(self, status: int, body: bytes) -> ClusterError:  # noqa: PLR0911 - one line per status
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {}
        said = answer.get("message") if isinstance(answer, dict) else None
        words = str(said or f"HTTP {status}").splitlines()[0][:300]
        if status == 401:  # noqa: PLR2004
            return ClusterError(
                f"Kubernetes at {self.address} does not accept our credentials.",
                "Renew the kubeconfig or the service account's token.",
            )
        if status == 403:  # noqa: PLR2004
            _, _, lacks = words.partition(" cannot ")
            return ClusterForbidden(
                f"Our account may not {lacks or 'do this'}." if lacks else f"Kubernetes refuses: {words}.",
                "Give its Role that verb (deploy/kubernetes has the Role).",
            )
        if status == 404:  # noqa: PLR2004
            return ClusterNotFound(f"Kubernetes: {words}.")
        if status == 409:  # noqa: PLR2004
            return ClusterConflict(f"Kubernetes: {words}.", "Ask again.")
        if status == 422:  # noqa: PLR2004
            return ClusterInvalid(f"Kubernetes does not take it: {words}.")
        if status == 400:  # noqa: PLR2004
            return ClusterNotReady(f"Kubernetes: {words}.")
        kind = ClusterUnavailable if status == 503 else ClusterError  # noqa: PLR2004
        return kind(f"Kubernetes at {self.address} answers {status}: {words}.")

    def _unreachable(self, error: urllib3.exceptions.HTTPError) -> ClusterError:
        return ClusterUnreachable(
            f"Kubernetes at {self.address} {connections.words(error, self.answer_within_seconds)}.",
            "Check the API server and the network to it.",
        )


def _why(error: Exception) -> str:
    match error:
        case OSError(strerror=str() as words):
            return words
        case ConfigException():
            return str(error).splitlines()[0].rstrip(".")
        case _:
            return "it is not a kubeconfig"


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[str]:
    """Decoded lines; of a longer one only the beginning, so that memory is bounded whatever is logged."""
    held = b""
    skipping = False
    for chunk in response.stream(65_536, decode_content=True):
        *whole, held = (held + chunk).split(b"\n")
        for line in whole:
            if not skipping:
                yield line[:LONGEST_LINE].decode("utf-8", "replace")
            skipping = False
        if len(held) > LONGEST_LINE:
            if not skipping:
                yield held[:LONGEST_LINE].decode("utf-8", "replace")
            skipping, held = True, b""
    if held and not skipping:
        yield held.decode("utf-8", "replace")
