"""Subresources that write: scale, status, eviction, token."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from datetime import timedelta

from mlflow_ops_sandbox.cluster.api import resources as kinds
from mlflow_ops_sandbox.cluster.api.answers import with_kind
from mlflow_ops_sandbox.cluster.api.disruption_budgets import budget_status
from mlflow_ops_sandbox.cluster.api.label_selectors import matches, selector_of
from mlflow_ops_sandbox.cluster.api.objects import Object, is_ready, is_terminating, labels_of, name_of
from mlflow_ops_sandbox.cluster.api.requests import Target
from mlflow_ops_sandbox.cluster.api.status import ApiError, Cause, bad_request, invalid
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, to_rfc3339
from mlflow_ops_sandbox.cluster.apiserver.identity import Identities, service_account
from mlflow_ops_sandbox.cluster.apiserver.patches.managers import Manager, record_update
from mlflow_ops_sandbox.cluster.apiserver.scale import scale_of
from mlflow_ops_sandbox.cluster.apiserver.schema.types import Type, root_type
from mlflow_ops_sandbox.cluster.apiserver.writing.bodies import decode_object
from mlflow_ops_sandbox.cluster.apiserver.writing.deleting import DeleteOptions, Deleter, delete_options
from mlflow_ops_sandbox.cluster.apiserver.writing.options import WriteOptions
from mlflow_ops_sandbox.cluster.apiserver.writing.patching import patched
from mlflow_ops_sandbox.cluster.apiserver.writing.writer import Writer

_SCALE = Type("object", "V1Scale")
_TOKEN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Subresources:
    """Writes them."""

    store: Store
    clock: Clock
    writer: Writer
    deleter: Deleter
    identities: Identities

    def scale(self, target: Target, body: bytes, content_type: str, options: WriteOptions) -> Object:
        """Set the replicas of a workload, by a whole Scale or by a patch of it. Raises ApiError."""
        before = self.store.get(target.resource, target.namespace, target.name)
        live = scale_of(before)
        if target.verb == "update":
            wanted = _json(body)
            decode_object(wanted, _ScaleResource, _SCALE, options)
        else:
            wanted = patched(live, body, content_type, _SCALE, options)
        metadata = wanted.get("metadata") or {}
        if metadata.get("name", target.name) != target.name:
            message = f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
            raise bad_request(message)
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        if replicas < 0:
            message = f"Invalid value: {replicas}: must be greater than or equal to 0"
            raise invalid("autoscaling", "Scale", target.name, [Cause("FieldValueInvalid", "spec.replicas", message)])
        self.store.require_version(
            target.resource, target.namespace, target.name, metadata.get("resourceVersion") or ""
        )
        after = copy.deepcopy(before)
        after["spec"]["replicas"] = replicas
        return scale_of(self._keep(target, before, after, options))

    def status(self, target: Target, body: bytes, content_type: str, options: WriteOptions) -> Object:
        """Replace or patch the status alone. Raises ApiError."""
        kind = root_type(target.resource)
        before = self.store.get(target.resource, target.namespace, target.name)
        if target.verb == "update":
            wanted = decode_object(_json(body), target.resource, kind, options)
        else:
            wanted = patched(with_kind(target.resource, before), body, content_type, kind, options)
        self.store.require_version(
            target.resource, target.namespace, target.name, wanted["metadata"].get("resourceVersion") or ""
        )
        after = copy.deepcopy(before)
        if "status" in wanted:
            after["status"] = wanted["status"]
        return with_kind(target.resource, self._keep(target, before, after, options))

    def _keep(self, target: Target, before: Object, after: Object, options: WriteOptions) -> Object:
        manager = Manager(options.manager, "Update", target.resource.api_version, target.subresource)
        record_update(before, after, root_type(target.resource), manager, to_rfc3339(self.clock()))
        return self.writer.keep(target, before, after, options)

    def evict(self, target: Target, body: bytes) -> Object:
        """Delete a pod if its disruption budgets allow it. Raises ApiError 429 where they do not."""
        pod = self.store.get(kinds.PODS, target.namespace, target.name)
        eviction = _json(body)
        given = eviction.get("deleteOptions") or {}
        options = delete_options({}, json.dumps(given).encode())
        phase = (pod.get("status") or {}).get("phase")
        if phase not in {"Succeeded", "Failed", "Pending"} and not is_terminating(pod):
            self._check_budgets(pod)
        if not options.dry_run:
            self.deleter.remove(kinds.PODS, pod, DeleteOptions(grace=options.grace, policy=options.policy))
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def _check_budgets(self, pod: Object) -> None:
        for budget in self.store.all(kinds.POD_DISRUPTION_BUDGETS, pod["metadata"]["namespace"]):
            if not matches(selector_of(budget["spec"].get("selector")), labels_of(pod)):
                continue
            status = budget_status(self.store, budget, self.clock())
            if is_ready(pod) and status["disruptionsAllowed"] < 1:
                sentence = (
                    f"The disruption budget {name_of(budget)} needs {status['desiredHealthy']} healthy pods and has "
                    f"{status['currentHealthy']} currently"
                )
                message = "Cannot evict pod as it would violate the pod's disruption budget."
                details = {"causes": [{"reason": "DisruptionBudget", "message": sentence}]}
                raise ApiError(429, "TooManyRequests", message, details)

    def token(self, target: Target, body: Object) -> Object:
        """Return a token of a service account."""
        self.store.get(target.resource, target.namespace, target.name)
        spec = body.get("spec") or {}
        seconds = int(spec.get("expirationSeconds") or _TOKEN_SECONDS)
        token = self.identities.token_for(service_account(target.namespace, target.name))
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": target.name,
                "namespace": target.namespace,
                "creationTimestamp": to_rfc3339(self.clock()),
            },
            "spec": {
                "audiences": spec.get("audiences") or ["https://kubernetes.default.svc"],
                "expirationSeconds": seconds,
                "boundObjectRef": spec.get("boundObjectRef"),
            },
            "status": {
                "token": token,
                "expirationTimestamp": to_rfc3339(self.clock() + timedelta(seconds=seconds)),
            },
        }


_ScaleResource = kinds.Resource("autoscaling", "v1", "Scale", "scales")


def _json(body: bytes) -> Object:
    try:
        found = json.loads(body or b"{}")
    except ValueError as problem:
        raise bad_request(f"couldn't get version/kind; json parse error: {problem}") from None
    if not isinstance(found, dict):
        raise bad_request("couldn't get version/kind; json parse error: no object")
    return found
