"""Deletion: at once, gracefully (pods), or after finalizers have done their work; and what becomes of dependents.

Background is the default: the object goes, the garbage collector takes what it owned. Foreground keeps the object,
with a finalizer, until what blocks its deletion is gone. Orphan cuts dependents loose. Jobs keep their pods unless
told otherwise, and a warning says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mlflow_ops_sandbox.cluster.api import resources as kinds
from mlflow_ops_sandbox.cluster.api.objects import Object, is_terminating, name_of, namespace_of, uid_of
from mlflow_ops_sandbox.cluster.api.requests import Target, is_true
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import (
    ApiError,
    Cause,
    bad_request,
    conflict,
    details_of,
    group_resource,
    invalid,
)
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, to_rfc3339
from mlflow_ops_sandbox.cluster.apiserver import protobuf

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_POLICIES = ("Background", "Foreground", "Orphan")
_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_RETURNED = frozenset(
    {
        kinds.PODS, kinds.SERVICES, kinds.SERVICE_ACCOUNTS, kinds.PERSISTENT_VOLUMES, kinds.PERSISTENT_VOLUME_CLAIMS,
        kinds.RESOURCE_QUOTAS,
    }
)  # fmt: skip
"""Kinds whose deletion answers with the object instead of a Status."""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How a deletion is meant."""

    grace: int | None = None
    policy: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def delete_options(query: Mapping[str, str], body: bytes, content_type: str = "") -> DeleteOptions:
    """Read them from the body and from the parameters. Raises ApiError 400 or 422."""
    given: dict[str, Any] = {}
    if content_type == protobuf.MEDIA_TYPE and body:
        given = protobuf.decode(body)
    elif body.strip():
        try:
            given = json.loads(body)
        except ValueError as problem:
            raise bad_request(f"couldn't get version/kind; json parse error: {problem}") from None
    if not isinstance(given, dict):
        raise bad_request("the object provided is unrecognized (must be of type DeleteOptions)")
    policy = given.get("propagationPolicy") or query.get("propagationPolicy") or ""
    orphans = given.get("orphanDependents", is_true(query["orphanDependents"]) if "orphanDependents" in query else None)
    causes: list[Cause] = []
    if policy not in {"", *_POLICIES}:
        listed = ", ".join(f'"{entry}"' for entry in (*_POLICIES, "nil"))
        message = f'Unsupported value: "{policy}": supported values: {listed}'
        causes.append(Cause("FieldValueNotSupported", "propagationPolicy", message))
    if policy and orphans is not None:
        message = "Invalid value: orphanDependents and deletionPropagation cannot be both set"
        causes.append(Cause("FieldValueInvalid", "propagationPolicy", message))
    dry_runs = given.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    if dry_runs not in ([], ["All"]):
        message = f'Unsupported value: {json.dumps(dry_runs)}: supported values: "All"'
        causes.append(Cause("FieldValueNotSupported", "dryRun", message))
    if causes:
        raise invalid("meta.k8s.io", "DeleteOptions", "", causes)
    grace = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    if orphans is not None:
        policy = "Orphan" if orphans else "Background"
    wanted = given.get("preconditions") or {}
    return DeleteOptions(
        grace=int(grace) if grace is not None else None,
        policy=policy,
        uid=wanted.get("uid") or "",
        version=wanted.get("resourceVersion") or "",
        dry_run=bool(dry_runs),
    )


@dataclass(frozen=True, slots=True)
class Deleter:
    """Deletes objects."""

    store: Store
    clock: Clock

    def delete(self, target: Target, options: DeleteOptions, warnings: list[str]) -> Object:
        """Delete one object (or begin to) and return the answer. Raises ApiError."""
        resource = target.resource
        item = self.store.get(resource, target.namespace, target.name)
        self._check_preconditions(resource, item, options)
        if resource == kinds.JOBS and not options.policy:
            warnings.append(_JOB_WARNING)
        if options.dry_run:
            return self._answer(resource, item, gone=True)
        last = self.remove(resource, item, options)
        gone = self.store.find(resource, target.namespace, target.name) is None
        return self._answer(resource, last, gone=gone)

    def remove(self, resource: Resource, item: Object, options: DeleteOptions) -> Object:
        """Delete an object, or mark it as being deleted; returns its last state."""
        if resource == kinds.NAMESPACES:
            return self._terminate_namespace(item)
        if resource == kinds.PODS:
            grace = self._grace(item, options)
            if grace:
                return self._terminate(resource, item, grace, [])
        policy = options.policy or ("Orphan" if resource == kinds.JOBS else "Background")
        finalizers = [entry for entry in item["metadata"].get("finalizers") or () if entry not in {FOREGROUND, ORPHAN}]
        if policy == "Foreground":
            finalizers.append(FOREGROUND)
        elif policy == "Orphan" and self._has_dependents(item):
            finalizers.append(ORPHAN)
        if finalizers:
            return self._terminate(resource, item, 0, finalizers)
        return self.store.delete(resource, namespace_of(item), name_of(item))

    def _grace(self, pod: Object, options: DeleteOptions) -> int:
        """Return the seconds that a pod has left; 0 where nothing of it runs."""
        phase = (pod.get("status") or {}).get("phase")
        if not pod["spec"].get("nodeName") or phase in {"Succeeded", "Failed"}:
            return 0
        given = options.grace if options.grace is not None else pod["spec"].get("terminationGracePeriodSeconds", 30)
        if is_terminating(pod):
            # A second deletion may only hurry the first one.
            left: int = pod["metadata"].get("deletionGracePeriodSeconds", 0)
            return min(int(given), left) if options.grace is not None else left
        return int(given)

    def _terminate(self, resource: Resource, item: Object, grace: int, finalizers: list[str]) -> Object:
        def mark(kept: Object) -> None:
            metadata = kept["metadata"]
            if finalizers:
                metadata["finalizers"] = finalizers
            if is_terminating(kept) and metadata.get("deletionGracePeriodSeconds") == grace:
                return
            metadata["deletionTimestamp"] = to_rfc3339(self.clock() + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1

        return self.store.update(resource, namespace_of(item), name_of(item), mark)

    def _terminate_namespace(self, item: Object) -> Object:
        def mark(kept: Object) -> None:
            kept["metadata"].setdefault("deletionTimestamp", to_rfc3339(self.clock()))
            kept["status"] = {"phase": "Terminating"}

        if name_of(item) in {"default", "kube-system", "kube-public", "kube-node-lease"}:
            message = f'namespaces "{name_of(item)}" is forbidden: this namespace may not be deleted'
            raise ApiError(403, "Forbidden", message, details_of(kinds.NAMESPACES, name_of(item)))
        return self.store.update(kinds.NAMESPACES, "", name_of(item), mark)

    def _has_dependents(self, item: Object) -> bool:
        return any(
            owner["uid"] == uid_of(item)
            for resource in kinds.STORED
            for entry in self.store.all(resource, namespace_of(item))
            for owner in entry["metadata"].get("ownerReferences") or ()
        )

    def _check_preconditions(self, resource: Resource, item: Object, options: DeleteOptions) -> None:
        wrong = ""
        version = item["metadata"]["resourceVersion"]
        if options.uid and options.uid != uid_of(item):
            wrong = f"UID in precondition: {options.uid}, UID in object meta: {uid_of(item)}"
        elif options.version and options.version != version:
            wrong = f"ResourceVersion in precondition: {options.version}, ResourceVersion in object meta: {version}"
        if wrong:
            error = conflict(resource, name_of(item))
            about = f'{group_resource(resource)} "{name_of(item)}"'
            error.message = f"Operation cannot be fulfilled on {about}: Precondition failed: {wrong}"
            raise error

    def _answer(self, resource: Resource, last: Object, *, gone: bool) -> Object:
        if resource in _RETURNED or not gone:
            return {"kind": resource.kind, "apiVersion": resource.api_version, **last}
        details = {**details_of(resource, name_of(last)), "uid": uid_of(last)}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
