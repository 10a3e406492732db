"""The order of admission: what edits a new object comes before its name and its validation, what only refuses after.

It is the same for what is asked for and for the pods that controllers make. The last to be asked are the webhooks and
then the quotas, which see the object as it will be.
Source: pkg/kubeapiserver/options/plugins.go and staging/src/k8s.io/apiserver/pkg/endpoints/handlers/create.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlflow_ops_sandbox.cluster.api import resources as kinds
from mlflow_ops_sandbox.cluster.api.defaulting import quality_of_service
from mlflow_ops_sandbox.cluster.api.identifiers import random_suffix
from mlflow_ops_sandbox.cluster.api.objects import Object, is_terminating, namespace_of
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import not_found
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.apiserver.admission import limit_ranges, quotas
from mlflow_ops_sandbox.cluster.apiserver.admission.refusals import forbidden
from mlflow_ops_sandbox.cluster.apiserver.admission.webhooks import CREATE, UPDATE, Webhooks
from mlflow_ops_sandbox.cluster.apiserver.validation.rules import validate


@dataclass(frozen=True, slots=True)
class Admission:
    """Lets objects in."""

    store: Store
    clock: Clock
    webhooks: Webhooks = field(default_factory=Webhooks)

    def open(self, resource: Resource, item: Object) -> None:
        """Let a new object be edited, and refused by what looks at it before it has a name.

        ``item`` is edited. Raises ApiError 403 or 404.
        """
        if resource.namespaced:
            _check_namespace(self.store, resource, item)
        if resource == kinds.PODS:
            limit_ranges.fill_in(self.store, item)
            item["status"]["qosClass"] = quality_of_service(item["spec"])
            _check_account(self.store, item)

    def close(self, resource: Resource, item: Object) -> None:
        """Let a new object in as it will be: named and validated. Raises ApiError 403, or what a webhook says."""
        limit_ranges.check(self.store, resource, item)
        self.webhooks.check(resource, item, CREATE)
        if resource.namespaced:
            quotas.check(self.store, resource, item, self.clock())

    def change(self, resource: Resource, item: Object) -> None:
        """Let an object become this. Raises ApiError as a webhook says."""
        self.webhooks.check(resource, item, UPDATE)

    def make_pod(self, pod: Object) -> Object:
        """Make a pod as a controller does, through everything that a request for one goes through; return it stored.

        pod: with its defaults; it is edited. Raises ApiError 403, 404 or 422, or what a webhook says.
        """
        self.open(kinds.PODS, pod)
        give_name(pod)
        validate(kinds.PODS, pod)
        self.close(kinds.PODS, pod)
        return self.store.create(kinds.PODS, pod)


def give_name(item: Object) -> None:
    """Make a name of ``generateName`` where there is none; ``item`` is edited."""
    metadata = item["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + random_suffix()


def _check_namespace(store: Store, resource: Resource, item: Object) -> None:
    namespace = namespace_of(item)
    found = store.find(kinds.NAMESPACES, "", namespace)
    if found is None:
        raise not_found(kinds.NAMESPACES, namespace)
    if is_terminating(found):
        sentence = f"unable to create new content in namespace {namespace} because it is being terminated"
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated",
                 "field": "metadata.namespace"}  # fmt: skip
        raise forbidden(resource, item, sentence, [cause])


def _check_account(store: Store, pod: Object) -> None:
    namespace, name = namespace_of(pod), pod["spec"].get("serviceAccountName", "default")
    if store.find(kinds.SERVICE_ACCOUNTS, namespace, name) is None:
        sentence = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(kinds.PODS, pod, sentence)
