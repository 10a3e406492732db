"""The HorizontalPodAutoscaler controller: every few seconds as many pods as the metrics ask for, within its bounds.

Trap: a number that somebody sets lasts until the next look only. Beyond the bounds it goes back at once, whatever the
metrics say, and whatever `behavior` says; within them a lower recommendation waits until the window of stabilisation is
over, a higher one does not, and both go no faster than `behavior` lets them.
Source: pkg/controller/podautoscaler/horizontal.go of Kubernetes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.label_selectors import LabelSelector, matches, selector_of
from mlflow_ops_sandbox.cluster.api.objects import Object, is_terminating, labels_of, name_of, namespace_of, uid_of
from mlflow_ops_sandbox.cluster.api.ownership import has_ended
from mlflow_ops_sandbox.cluster.api.resources import (
    HORIZONTAL_POD_AUTOSCALERS,
    PODS,
    Resource,
    resource_of_kind,
)
from mlflow_ops_sandbox.cluster.api.status import ApiError, not_found
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, to_rfc3339
from mlflow_ops_sandbox.cluster.apiserver.patches.managers import Manager, record_update
from mlflow_ops_sandbox.cluster.apiserver.schema.types import root_type
from mlflow_ops_sandbox.cluster.controllers.recommending import NoFigureError, Proposal, propose
from mlflow_ops_sandbox.cluster.controllers.scaling_rules import DOWN, UP, Changes, limit

_COMPONENT = "horizontal-pod-autoscaler"
_MANAGER = "kube-controller-manager"
_LEAST_BOUND = 4
_AT_MOST = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_AT_LEAST = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
Measure = Callable[[str, LabelSelector], "list[Object] | None"]
"""Returns the metrics of a namespace's pods; None where metrics.k8s.io is not installed."""


@dataclass(slots=True)
class AutoscalerController:
    """Keeps the sizes that autoscalers steer."""

    store: Store
    events: Recorder
    clock: Clock
    measure: Measure
    period: float
    """From one look at an autoscaler to the next, in seconds."""
    window: float
    """How long a lower recommendation waits where the autoscaler names no window, in seconds."""
    _due: dict[str, datetime] = field(default_factory=dict)
    _recommended: dict[str, list[tuple[datetime, int]]] = field(default_factory=dict)
    _changes: dict[str, Changes] = field(default_factory=dict)

    def reconcile(self) -> None:
        """Look at every autoscaler whose time has come; at a new one once the period is over, too."""
        items = self.store.all(HORIZONTAL_POD_AUTOSCALERS)
        now = self.clock()
        next_look = now + timedelta(seconds=self.period)
        for item in items:
            if self._due.setdefault(uid_of(item), next_look) <= now:
                self._due[uid_of(item)] = next_look
                self._look(item, now)
        uids = {uid_of(item) for item in items}
        self._due = {uid: due for uid, due in self._due.items() if uid in uids}
        self._recommended = {uid: kept for uid, kept in self._recommended.items() if uid in uids}
        self._changes = {uid: kept for uid, kept in self._changes.items() if uid in uids}

    def moments(self) -> list[datetime]:
        """Return when it looks next."""
        return list(self._due.values())

    def _look(self, item: Object, now: datetime) -> None:
        status = _Status(item, now)
        target = item["spec"]["scaleTargetRef"]
        resource = resource_of_kind(str(target.get("apiVersion", "")).rpartition("/")[0], target["kind"])
        try:
            found = _target(self.store, resource, item)
        except ApiError as problem:
            sentence = f"the HPA controller was unable to get the target's current scale: {problem.message}"
            status.condition("AbleToScale", "False", "FailedGetScale", sentence)
            self._tell(item, "FailedGetScale", problem.message, warning=True)
            self._write(item, status)
            return
        assert resource is not None
        status.condition(
            "AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale"
        )
        replicas = int(found["spec"].get("replicas", 0))
        self._recommended.setdefault(uid_of(item), [(now, replicas)])
        least, most = int(item["spec"].get("minReplicas", 1)), int(item["spec"]["maxReplicas"])
        wanted, reason = replicas, ""
        metrics: list[Object] | None = None
        if not replicas and least:
            sentence = "scaling is disabled since the replica count of the target is zero"
            status.condition("ScalingActive", "False", "ScalingDisabled", sentence)
        elif replicas > most:
            wanted, reason = most, "Current number of replicas above Spec.MaxReplicas"
        elif replicas < least:
            wanted, reason = least, "Current number of replicas below Spec.MinReplicas"
        else:
            proposal, metrics, problem_said = self._proposal(item, found, replicas, status)
            if proposal is None:
                status.figures(replicas, None, metrics)
                self._write(item, status)
                self._tell(item, "FailedComputeMetricsReplicas", problem_said, warning=True)
                return
            wanted = self._bounded(item, replicas, proposal.replicas, status)
            above = proposal.replicas > replicas
            reason = f"{proposal.name} above target" if above else "All metrics below target"
        status.figures(replicas, wanted, metrics)
        if wanted != replicas:
            self._rescale(resource, found, wanted)
            if item["spec"].get("behavior"):
                self._changes.setdefault(uid_of(item), Changes()).note(now, wanted - replicas)
            sentence = f"the HPA controller was able to update the target scale to {wanted}"
            status.condition("AbleToScale", "True", "SucceededRescale", sentence)
            status.body["lastScaleTime"] = to_rfc3339(now)
            self._tell(item, "SuccessfulRescale", f"New size: {wanted}; reason: {reason}")
        self._write(item, status)

    def _proposal(
        self, item: Object, target: Object, replicas: int, status: _Status
    ) -> tuple[Proposal | None, list[Object], str]:
        """Return the highest of what the metrics ask for, all figures, and what went wrong.

        There is none where no metric gives a figure, or where one is missing and the others ask for less.
        """
        selector = selector_of(target["spec"]["selector"])
        namespace = namespace_of(item)
        pods = [
            pod
            for pod in self.store.all(PODS, namespace)
            if matches(selector, labels_of(pod)) and not is_terminating(pod) and not has_ended(pod)
        ]
        measured = self.measure(namespace, selector)
        metrics = item["spec"].get("metrics") or []
        proposals: list[Proposal] = []
        problems: list[NoFigureError] = []
        for metric in metrics:
            try:
                proposals.append(propose(metric, replicas, pods, measured))
            except NoFigureError as problem:
                problems.append(problem)
        highest = max(proposals, key=lambda proposal: proposal.replicas, default=None)
        shown = [proposal.current for proposal in proposals]
        said = ""
        if problems:
            first = f"first error is: {problems[0]}"
            said = f"invalid metrics ({len(problems)} invalid out of {len(metrics)}), {first}"
        if highest is None or (problems and highest.replicas < replicas):
            sentence = f"the HPA was unable to compute the replica count: {problems[0]}"
            status.condition("ScalingActive", "False", problems[0].reason, sentence)
            return None, shown, said
        sentence = f"the HPA was able to successfully calculate a replica count from {highest.name}"
        status.condition("ScalingActive", "True", "ValidMetricFound", sentence)
        return highest, shown, said

    def _bounded(self, item: Object, replicas: int, proposed: int, status: _Status) -> int:
        """Return what of a recommendation is followed now."""
        down, up = (self._window(item, side) for side in (DOWN, UP))
        kept = self._recommended[uid_of(item)]
        kept.append((status.now, proposed))
        self._recommended[uid_of(item)] = [entry for entry in kept if entry[0] + max(down, up) > status.now]
        recent = self._recommended[uid_of(item)]
        highest = max([proposed, *(count for at, count in recent if at + down > status.now)])
        lowest = min([proposed, *(count for at, count in recent if at + up > status.now)])
        steady = min(max(replicas, lowest), highest) if item["spec"].get("behavior") else highest
        if steady == proposed:
            status.condition("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size")
        elif steady > proposed:
            sentence = "recent recommendations were higher than current one, applying the highest recent recommendation"
            status.condition("AbleToScale", "True", "ScaleDownStabilized", sentence)
        else:
            sentence = "recent recommendations were lower than current one, applying the lowest recent recommendation"
            status.condition("AbleToScale", "True", "ScaleUpStabilized", sentence)
        allowed, words = self._limited(item, replicas, steady, status.now)
        if allowed != steady:
            status.condition("ScalingLimited", "True", *words)
        else:
            sentence = "the desired count is within the acceptable range"
            status.condition("ScalingLimited", "False", "DesiredWithinRange", sentence)
        return allowed

    def _limited(self, item: Object, replicas: int, steady: int, now: datetime) -> tuple[int, tuple[str, str]]:
        """Return what of a size its bounds and its pace allow now, and which of both counts."""
        least, most = int(item["spec"].get("minReplicas", 1)), int(item["spec"]["maxReplicas"])
        behavior = item["spec"].get("behavior")
        changes = self._changes.get(uid_of(item), Changes())
        if steady > replicas:
            fastest = max(2 * replicas, _LEAST_BOUND)
            if behavior:
                fastest = limit(behavior[UP], UP, replicas, changes, now)
            return min(steady, most, fastest), _UP if most > fastest else _AT_MOST
        slowest = limit(behavior[DOWN], DOWN, replicas, changes, now) if behavior and steady < replicas else least
        return max(steady, least, slowest), _DOWN if slowest > least else _AT_LEAST

    def _window(self, item: Object, side: str) -> timedelta:
        rules = (item["spec"].get("behavior") or {}).get(side) or {}
        given = rules.get("stabilizationWindowSeconds")
        if given is None:
            given = self.window if side == DOWN else 0
        return timedelta(seconds=float(given))

    def _rescale(self, resource: Resource, target: Object, wanted: int) -> None:
        after = copy.deepcopy(target)
        after["spec"]["replicas"] = wanted
        manager = Manager(_MANAGER, "Update", resource.api_version, "scale")
        record_update(target, after, root_type(resource), manager, to_rfc3339(self.clock()))

        def change(item: Object) -> None:
            item.clear()
            item.update(after)

        self.store.update(resource, namespace_of(target), name_of(target), change)

    def _tell(self, item: Object, reason: str, message: str, *, warning: bool = False) -> None:
        happening = Happening(reason, message, warning=warning)
        self.events.controller(item, HORIZONTAL_POD_AUTOSCALERS, _COMPONENT, happening)

    def _write(self, item: Object, status: _Status) -> None:
        namespace, name = namespace_of(item), name_of(item)
        self.store.update(
            HORIZONTAL_POD_AUTOSCALERS, namespace, name, lambda kept: kept.update(status=status.body), intent=False
        )


class _Status:
    """The status of an autoscaler as it comes to be in one look."""

    def __init__(self, item: Object, now: datetime) -> None:
        self.now = now
        self.body: Object = copy.deepcopy(item.get("status") or {})

    def figures(self, current: int, desired: int | None, metrics: list[Object] | None) -> None:
        """Set the numbers of pods; the desired one stays where none could be found."""
        self.body["currentReplicas"] = current
        self.body["desiredReplicas"] = self.body.get("desiredReplicas", 0) if desired is None else desired
        self.body["currentMetrics"] = metrics

    def condition(self, kind: str, value: str, reason: str, message: str) -> None:
        """Set a condition; its time changes with its status only."""
        conditions: list[Object] = self.body.setdefault("conditions", [])
        known = next((entry for entry in conditions if entry["type"] == kind), None)
        if known is None:
            known = {"type": kind, "status": "", "lastTransitionTime": ""}
            conditions.append(known)
        if known["status"] != value:
            known["lastTransitionTime"] = to_rfc3339(self.now)
        known |= {"status": value, "reason": reason, "message": message}


def _target(store: Store, resource: Resource | None, item: Object) -> Object:
    target = item["spec"]["scaleTargetRef"]
    if resource is None:
        version = str(target.get("apiVersion", ""))
        sentence = f'no matches for kind "{target["kind"]}" in group "{version.rpartition("/")[0]}"'
        raise ApiError(404, "NotFound", sentence)
    if resource.subresource("scale") is None:
        error = not_found(resource, str(target["name"]))
        error.message = "the server could not find the requested resource"
        raise error
    return store.get(resource, namespace_of(item), str(target["name"]))
