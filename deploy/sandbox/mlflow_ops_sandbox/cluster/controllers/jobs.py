"""The Job controller: pods that run to their end, one after another until enough have succeeded or too many failed.

Trap: a pod that is refused is told by an event only. The Job has no condition for it, and counts no failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    condition_of,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from mlflow_ops_sandbox.cluster.api.ownership import begin_deletion, has_ended, is_active, owned_pods
from mlflow_ops_sandbox.cluster.api.resources import JOBS, PODS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, from_rfc3339, to_rfc3339
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.controllers.job_status import (
    CONDITIONS,
    Verdict,
    is_finished,
    job_status,
    verdict_of,
)
from mlflow_ops_sandbox.cluster.controllers.pods import PodMaker
from mlflow_ops_sandbox.cluster.controllers.retries import Retries

_COMPONENT = "job-controller"
_LONGEST_BACK_OFF = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class JobController:
    """Keeps the pods of all Jobs."""

    store: Store
    events: Recorder
    clock: Clock
    admission: Admission
    retries: Retries
    back_off: float

    def reconcile(self) -> None:
        """Take the next step of every Job, then write its status."""
        items = self.store.all(JOBS)
        for item in items:
            if is_finished(item):
                self._remove_if_due(item)
            elif not is_terminating(item):
                self._step(item)
        self.retries.end_round({uid_of(item) for item in items})

    def _step(self, item: Object) -> None:
        now = self.clock()
        pods = owned_pods(self.store, item)
        verdict = verdict_of(item, pods, now)
        if verdict is not None:
            self._finish(item, pods, verdict, now)
            return
        if item["spec"].get("suspend"):
            self._suspend(item, pods, now)
            return
        item = self._resume(item)
        status = job_status(item, pods)
        status.setdefault("startTime", to_rfc3339(now))
        item = self._write(item, status)
        wanted = _missing(item, pods)
        if wanted > 0 and self._may_try(pods, now) and self.retries.may_try(item, pods):
            self._create(item, wanted)

    def _may_try(self, pods: list[Object], now: datetime) -> bool:
        """Say whether the pause after the last failure is over; it doubles with each."""
        failed = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Failed"]
        if not failed:
            return True
        last = max(map(_ended_at, failed))
        pause = min(timedelta(seconds=self.back_off * 2 ** (len(failed) - 1)), _LONGEST_BACK_OFF)
        return last + pause <= now

    def _create(self, item: Object, count: int) -> None:
        labels = {
            "batch.kubernetes.io/controller-uid": uid_of(item),
            "batch.kubernetes.io/job-name": name_of(item),
            "controller-uid": uid_of(item),
            "job-name": name_of(item),
        }
        metadata: Object = {
            "generateName": f"{name_of(item)}-",
            "namespace": namespace_of(item),
            "labels": {**labels_of({"metadata": item["spec"]["template"].get("metadata") or {}}), **labels},
        }
        maker = PodMaker(self.admission, self.events, _COMPONENT, JOBS)
        if maker.make(item, count, lambda: dict(metadata), owner_reference("batch/v1", "Job", item)) is None:
            self.retries.succeeded(item)
        else:
            self.retries.failed(item, owned_pods(self.store, item))

    def _finish(self, item: Object, pods: list[Object], verdict: Verdict, now: datetime) -> None:
        """End what still runs, write the conditions, and tell of it once all pods have ended."""
        running = [pod for pod in pods if is_active(pod)]
        for pod in running:
            begin_deletion(self.store, pod, now)
            self._tell(item, Happening("SuccessfulDelete", f"Deleted pod: {name_of(pod)}"))
        status = job_status(item, owned_pods(self.store, item))
        before = int((item.get("status") or {}).get("failed", 0))
        if not verdict.succeeded:
            # What is ended for the Job's failure has failed with it, though nothing of it will be left to count.
            status["failed"] = max(int(status.get("failed", 0)), before) + len(running)
        status.setdefault("startTime", to_rfc3339(now))
        first, last = CONDITIONS[verdict.succeeded]
        conditions = [entry for entry in status.get("conditions") or () if entry["type"] not in {first, last}]
        target = condition_of(item, first) or _condition(first, verdict, now)
        conditions.append(target)
        if not any(not has_ended(pod) for pod in owned_pods(self.store, item)):
            conditions.append(_condition(last, verdict, now))
            if verdict.succeeded:
                status["completionTime"] = to_rfc3339(now)
        status["conditions"] = conditions
        written = self._write(item, status)
        if is_finished(written):
            if verdict.succeeded:
                self._tell(written, Happening("Completed", "Job completed"))
            else:
                self._tell(written, Happening(verdict.reason, verdict.message, warning=True))

    def _suspend(self, item: Object, pods: list[Object], now: datetime) -> None:
        for pod in pods:
            if is_active(pod):
                begin_deletion(self.store, pod, now)
                self._tell(item, Happening("SuccessfulDelete", f"Deleted pod: {name_of(pod)}"))
        status = job_status(item, owned_pods(self.store, item))
        status.pop("startTime", None)
        if (condition_of(item, "Suspended") or {}).get("status") != "True":
            others = [entry for entry in status.get("conditions") or () if entry["type"] != "Suspended"]
            words = Verdict(succeeded=False, reason="JobSuspended", message="Job suspended")
            status["conditions"] = [*others, _condition("Suspended", words, now)]
            self._tell(item, Happening("Suspended", "Job suspended"))
        self._write(item, status)

    def _resume(self, item: Object) -> Object:
        if (condition_of(item, "Suspended") or {}).get("status") != "True":
            return item
        words = Verdict(succeeded=False, reason="JobResumed", message="Job resumed")
        resumed = _condition("Suspended", words, self.clock()) | {"status": "False"}

        def change(copy: Object) -> None:
            conditions = copy["status"]["conditions"]
            copy["status"]["conditions"] = [resumed if entry["type"] == "Suspended" else entry for entry in conditions]

        self._tell(item, Happening("Resumed", "Job resumed"))
        return self.store.update(JOBS, namespace_of(item), name_of(item), change)

    def _remove_if_due(self, item: Object) -> None:
        """Delete a Job that has been finished for as long as it wants to be kept, and its pods."""
        patience = item["spec"].get("ttlSecondsAfterFinished")
        if patience is None:
            return
        conditions = item["status"]["conditions"]
        ended = max(from_rfc3339(entry["lastTransitionTime"]) for entry in conditions)
        if ended + timedelta(seconds=int(patience)) > self.clock():
            return
        for pod in owned_pods(self.store, item):
            self.store.delete(PODS, namespace_of(pod), name_of(pod))
        self.store.delete(JOBS, namespace_of(item), name_of(item))

    def _tell(self, item: Object, happening: Happening) -> None:
        self.events.controller(item, JOBS, _COMPONENT, happening)

    def _write(self, item: Object, status: Object) -> Object:
        namespace, name = namespace_of(item), name_of(item)
        return self.store.update(JOBS, namespace, name, lambda copy: copy.update(status=status))


def _missing(item: Object, pods: list[Object]) -> int:
    """Return how many pods are to be created now."""
    active = sum(not has_ended(pod) for pod in pods)
    succeeded: int = sum((pod.get("status") or {}).get("phase") == "Succeeded" for pod in pods)
    parallel = int(item["spec"].get("parallelism", 1))
    completions = item["spec"].get("completions")
    wanted = min(parallel, int(completions) - succeeded) if completions is not None else parallel * (not succeeded)
    return wanted - active


def _ended_at(pod: Object) -> datetime:
    ends = [
        from_rfc3339(status["state"]["terminated"]["finishedAt"])
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
        if "terminated" in status["state"]
    ]
    return max(ends, default=from_rfc3339(pod["metadata"]["creationTimestamp"]))


def _condition(kind: str, verdict: Verdict, now: datetime) -> Object:
    stamp = to_rfc3339(now)
    return {
        "type": kind,
        "status": "True",
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
        "reason": verdict.reason,
        "message": verdict.message,
    }
