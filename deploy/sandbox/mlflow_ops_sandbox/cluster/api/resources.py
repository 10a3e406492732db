"""The table of kinds: everything that differs from kind to kind in the API's surface.

Discovery, routing, storage keys, list names and RBAC all read this table and nothing else, so a kind that is added
here can be listed, read and watched at once. ``GROUPS`` keeps groups without kinds discoverable, which ``kubectl
get all`` needs.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_WRITE = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """One path below an object, such as ``pods/log``."""

    name: str
    kind: str
    verbs: tuple[str, ...] = READ_WRITE
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    fields: tuple[str, ...] = ()
    """Field selectors beyond metadata.name and metadata.namespace."""
    has_generation: bool = field(default=False)
    """Whether a changed spec raises metadata.generation."""

    @property
    def api_version(self) -> str:
        """Return ``apps/v1`` or, for the core group, ``v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """Return the name in the singular, as discovery tells it."""
        return self.kind.lower()

    @property
    def list_kind(self) -> str:
        """Return the kind of a list of these."""
        return f"{self.kind}List"

    @property
    def key(self) -> str:
        """Return the name under which the store keeps these."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage_version_hash(self) -> str:
        """Return the hash that discovery shows for kinds that are stored."""
        digest = hashlib.sha256(f"{self.group}/{self.version}/{self.kind}".encode()).digest()
        return base64.b64encode(digest[:8]).decode()

    def subresource(self, name: str) -> Subresource | None:
        """Return the subresource of that name, if this kind has it."""
        return next((entry for entry in self.subresources if entry.name == name), None)


_EXEC = ("create", "get")
_SCALE = Subresource("scale", "Scale", group="autoscaling", version="v1")
_CREATE = ("create",)


def _status(kind: str) -> Subresource:
    return Subresource("status", kind)


PODS = Resource(
    "", "v1", "Pod", "pods",
    short_names=("po",), categories=("all",), has_generation=True,
    subresources=(
        Subresource("attach", "PodAttachOptions", _EXEC),
        Subresource("eviction", "Eviction", _CREATE, "policy", "v1"),
        Subresource("exec", "PodExecOptions", _EXEC),
        Subresource("log", "Pod", ("get",)),
        Subresource("portforward", "PodPortForwardOptions", _EXEC),
        _status("Pod"),
    ),
    fields=(
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
)  # fmt: skip
SERVICES = Resource(
    "", "v1", "Service", "services",
    short_names=("svc",), categories=("all",), subresources=(_status("Service"),),
    fields=("spec.clusterIP", "spec.type"),
)  # fmt: skip
EVENTS = Resource(
    "", "v1", "Event", "events",
    short_names=("ev",),
    fields=(
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
        "reason", "reportingComponent", "source", "type",
    ),
)  # fmt: skip
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", short_names=("cm",))
ENDPOINTS = Resource("", "v1", "Endpoints", "endpoints", short_names=("ep",))
NAMESPACES = Resource(
    "", "v1", "Namespace", "namespaces", namespaced=False,
    short_names=("ns",), verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(Subresource("finalize", "Namespace", ("update",)), _status("Namespace")),
    fields=("status.phase",),
)  # fmt: skip
NODES = Resource(
    "", "v1", "Node", "nodes", namespaced=False,
    short_names=("no",), subresources=(_status("Node"),), fields=("spec.unschedulable",),
)  # fmt: skip
PERSISTENT_VOLUME_CLAIMS = Resource(
    "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims",
    short_names=("pvc",), subresources=(_status("PersistentVolumeClaim"),),
)  # fmt: skip
PERSISTENT_VOLUMES = Resource(
    "", "v1", "PersistentVolume", "persistentvolumes", namespaced=False,
    short_names=("pv",), subresources=(_status("PersistentVolume"),),
)  # fmt: skip
SECRETS = Resource("", "v1", "Secret", "secrets", fields=("type",))
SERVICE_ACCOUNTS = Resource(
    "", "v1", "ServiceAccount", "serviceaccounts",
    short_names=("sa",),
    subresources=(Subresource("token", "TokenRequest", _CREATE, "authentication.k8s.io", "v1"),),
)  # fmt: skip
REPLICATION_CONTROLLERS = Resource(
    "", "v1", "ReplicationController", "replicationcontrollers",
    short_names=("rc",), categories=("all",), has_generation=True,
    subresources=(_SCALE, _status("ReplicationController")), fields=("status.replicas",),
)  # fmt: skip
LIMIT_RANGES = Resource("", "v1", "LimitRange", "limitranges", short_names=("limits",))
RESOURCE_QUOTAS = Resource(
    "", "v1", "ResourceQuota", "resourcequotas", short_names=("quota",), subresources=(_status("ResourceQuota"),)
)

DEPLOYMENTS = Resource(
    "apps", "v1", "Deployment", "deployments",
    short_names=("deploy",), categories=("all",), has_generation=True,
    subresources=(_SCALE, _status("Deployment")),
)  # fmt: skip
REPLICA_SETS = Resource(
    "apps", "v1", "ReplicaSet", "replicasets",
    short_names=("rs",), categories=("all",), has_generation=True,
    subresources=(_SCALE, _status("ReplicaSet")), fields=("status.replicas",),
)  # fmt: skip
STATEFUL_SETS = Resource(
    "apps", "v1", "StatefulSet", "statefulsets",
    short_names=("sts",), categories=("all",), has_generation=True,
    subresources=(_SCALE, _status("StatefulSet")),
)  # fmt: skip
DAEMON_SETS = Resource(
    "apps", "v1", "DaemonSet", "daemonsets",
    short_names=("ds",), categories=("all",), has_generation=True, subresources=(_status("DaemonSet"),),
)  # fmt: skip
CONTROLLER_REVISIONS = Resource("apps", "v1", "ControllerRevision", "controllerrevisions")

JOBS = Resource(
    "batch", "v1", "Job", "jobs",
    categories=("all",), has_generation=True, subresources=(_status("Job"),), fields=("status.successful",),
)  # fmt: skip
CRON_JOBS = Resource(
    "batch", "v1", "CronJob", "cronjobs",
    short_names=("cj",), categories=("all",), has_generation=True, subresources=(_status("CronJob"),),
)  # fmt: skip
HORIZONTAL_POD_AUTOSCALERS = Resource(
    "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers",
    short_names=("hpa",), categories=("all",), subresources=(_status("HorizontalPodAutoscaler"),),
)  # fmt: skip
INGRESSES = Resource(
    "networking.k8s.io", "v1", "Ingress", "ingresses",
    short_names=("ing",), has_generation=True, subresources=(_status("Ingress"),),
)  # fmt: skip
INGRESS_CLASSES = Resource(
    "networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False, has_generation=True
)
NETWORK_POLICIES = Resource(
    "networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", short_names=("netpol",), has_generation=True
)
POD_DISRUPTION_BUDGETS = Resource(
    "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets",
    short_names=("pdb",), has_generation=True, subresources=(_status("PodDisruptionBudget"),),
)  # fmt: skip
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", has_generation=True)
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "Role", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
STORAGE_CLASSES = Resource(
    "storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False, short_names=("sc",)
)
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False, short_names=("pc",)
)
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False,
    short_names=("crd", "crds"), has_generation=True, subresources=(_status("CustomResourceDefinition"),),
)  # fmt: skip
CERTIFICATES = Resource(
    "cert-manager.io", "v1", "Certificate", "certificates",
    short_names=("cert", "certs"), categories=("cert-manager",), has_generation=True,
    subresources=(_status("Certificate"),),
)  # fmt: skip

TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", namespaced=False, verbs=_CREATE)
SELF_SUBJECT_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False, verbs=_CREATE
)
LOCAL_SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=_CREATE
)
SELF_SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews",
    namespaced=False, verbs=_CREATE,
)  # fmt: skip
SELF_SUBJECT_RULES_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", namespaced=False, verbs=_CREATE
)
SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False, verbs=_CREATE
)

POD_METRICS = Resource("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", verbs=("get", "list"))
NODE_METRICS = Resource("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", namespaced=False, verbs=("get", "list"))

STORED = (
    CONFIG_MAPS, ENDPOINTS, EVENTS, LIMIT_RANGES, NAMESPACES, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES,
    PODS, REPLICATION_CONTROLLERS, RESOURCE_QUOTAS, SECRETS, SERVICE_ACCOUNTS, SERVICES,
    CONTROLLER_REVISIONS, DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS,
    CRON_JOBS, JOBS, HORIZONTAL_POD_AUTOSCALERS, INGRESS_CLASSES, INGRESSES, NETWORK_POLICIES, POD_DISRUPTION_BUDGETS,
    ENDPOINT_SLICES, LEASES, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, STORAGE_CLASSES,
    PRIORITY_CLASSES, CUSTOM_RESOURCE_DEFINITIONS, CERTIFICATES,
)  # fmt: skip
REVIEWS = (
    SELF_SUBJECT_REVIEWS, TOKEN_REVIEWS, LOCAL_SUBJECT_ACCESS_REVIEWS, SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS, SUBJECT_ACCESS_REVIEWS,
)  # fmt: skip
MEASURED = (NODE_METRICS, POD_METRICS)
METRICS_GROUP = "metrics.k8s.io"
CERT_MANAGER_GROUP = "cert-manager.io"

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("apiregistration.k8s.io", ("v1",)),
    ("apps", ("v1",)),
    ("events.k8s.io", ("v1",)),
    ("authentication.k8s.io", ("v1",)),
    ("authorization.k8s.io", ("v1",)),
    ("autoscaling", ("v2", "v1")),
    ("batch", ("v1",)),
    ("certificates.k8s.io", ("v1",)),
    ("networking.k8s.io", ("v1",)),
    ("policy", ("v1",)),
    ("rbac.authorization.k8s.io", ("v1",)),
    ("storage.k8s.io", ("v1",)),
    ("admissionregistration.k8s.io", ("v1",)),
    ("apiextensions.k8s.io", ("v1",)),
    ("scheduling.k8s.io", ("v1",)),
    ("coordination.k8s.io", ("v1",)),
    ("node.k8s.io", ("v1",)),
    ("discovery.k8s.io", ("v1",)),
    ("resource.k8s.io", ("v1",)),
    ("flowcontrol.apiserver.k8s.io", ("v1",)),
)
"""Every named group in the order of a real server's /apis, the preferred version first; some hold no kinds here."""

_BY_PATH = {(entry.group, entry.version, entry.plural): entry for entry in (*STORED, *REVIEWS, *MEASURED)}
_BY_KIND = {(entry.group, entry.kind): entry for entry in STORED}


def find_resource(group: str, version: str, plural: str) -> Resource | None:
    """Return the kind that this part of a URL names, if there is one."""
    return _BY_PATH.get((group, version, plural))


def resource_of_kind(group: str, kind: str) -> Resource | None:
    """Return the stored kind of that name, if there is one."""
    return _BY_KIND.get((group, kind))


def resources_of(group: str, version: str) -> list[Resource]:
    """Return the kinds of one group and version in the order of discovery."""
    entries = (*STORED, *REVIEWS, *MEASURED)
    found = [entry for entry in entries if entry.group == group and entry.version == version]
    return sorted(found, key=lambda entry: entry.plural)
