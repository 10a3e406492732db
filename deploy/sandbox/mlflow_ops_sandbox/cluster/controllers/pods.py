"""Pods as controllers make them: through admission like anybody's, and with an event where one is refused.

Pods are made in batches of 1, 2, 4, …, and the batch in which one is refused is the last: so a controller that wants
hundreds does not ask hundreds of times for what it will not get.
Source: pkg/controller/controller_utils.go and pkg/controller/replicaset/replica_set.go (slowStartBatch) of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.objects import Object, name_of
from mlflow_ops_sandbox.cluster.api.ownership import new_pod
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission

FAILED = "FailedCreate"


@dataclass(frozen=True, slots=True)
class PodMaker:
    """Makes pods for one kind of controller."""

    admission: Admission
    events: Recorder
    component: str
    resource: Resource
    """The kind of what the pods belong to."""

    def make(self, owner: Object, count: int, metadata: Callable[[], Object], reference: Object) -> ApiError | None:
        """Make so many pods of the owner's template; return the first refusal, None where there is none.

        metadata: makes that of one pod. reference: that of its controller.
        """
        size, left = 1, count
        while left > 0:
            size = min(size, left)
            refusals = [self._make_one(owner, metadata(), reference) for _ in range(size)]
            first = next((refusal for refusal in refusals if refusal is not None), None)
            if first is not None:
                return first
            left -= size
            size *= 2
        return None

    def _make_one(self, owner: Object, metadata: Object, reference: Object) -> ApiError | None:
        try:
            pod = self.admission.make_pod(new_pod(owner["spec"]["template"], metadata, reference))
        except ApiError as refusal:
            if is_of_ending_namespace(refusal):
                return None
            happening = Happening(FAILED, f"Error creating: {refusal.message}", warning=True)
            self.events.controller(owner, self.resource, self.component, happening)
            return refusal
        self.events.controller(
            owner, self.resource, self.component, Happening("SuccessfulCreate", f"Created pod: {name_of(pod)}")
        )
        return None


def is_of_ending_namespace(refusal: ApiError) -> bool:
    """Say whether something was refused because its namespace is on its way out: of that controllers do not tell."""
    causes = (refusal.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
