"""The figures of a Job, and whether it has come to its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mlflow_ops_sandbox.cluster.api.objects import Object, condition_of, is_ready, is_terminating
from mlflow_ops_sandbox.cluster.api.ownership import has_ended, is_active
from mlflow_ops_sandbox.cluster.api.times import from_rfc3339

CONDITIONS = {True: ("SuccessCriteriaMet", "Complete"), False: ("FailureTarget", "Failed")}
"""For success and for failure: the condition while pods still end, and the one after that."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a Job has ended."""

    succeeded: bool
    reason: str
    message: str


_REACHED = Verdict(succeeded=True, reason="CompletionsReached", message="Reached expected number of succeeded pods")
_TOO_OFTEN = Verdict(
    succeeded=False, reason="BackoffLimitExceeded", message="Job has reached the specified backoff limit"
)
_TOO_LONG = Verdict(succeeded=False, reason="DeadlineExceeded", message="Job was active longer than specified deadline")


def is_finished(item: Object) -> bool:
    """Say whether the Job has come to its end."""
    return any((condition_of(item, last) or {}).get("status") == "True" for _, last in CONDITIONS.values())


def verdict_of(item: Object, pods: list[Object], now: datetime) -> Verdict | None:
    """Return how the Job ends, None while it goes on; a verdict once written stays."""
    for succeeded, (first, _) in CONDITIONS.items():
        written = condition_of(item, first)
        if written is not None and written["status"] == "True":
            return Verdict(succeeded, written["reason"], written["message"])
    phases = [(pod.get("status") or {}).get("phase") for pod in pods]
    failures = phases.count("Failed") + sum(map(_restarts, pods))
    if failures > int(item["spec"].get("backoffLimit", 6)):
        return _TOO_OFTEN
    started = (item.get("status") or {}).get("startTime")
    deadline = item["spec"].get("activeDeadlineSeconds")
    if started and deadline is not None and from_rfc3339(started) + timedelta(seconds=int(deadline)) <= now:
        return _TOO_LONG
    completions = item["spec"].get("completions")
    succeeded_pods = phases.count("Succeeded")
    if completions is None:
        return _REACHED if succeeded_pods and all(map(has_ended, pods)) else None
    return _REACHED if succeeded_pods >= int(completions) else None


def job_status(item: Object, pods: list[Object]) -> Object:
    """Return the status with the figures of these pods; times and conditions are those that were written before."""
    before = item.get("status") or {}
    phases = [(pod.get("status") or {}).get("phase") for pod in pods]
    active = [pod for pod in pods if is_active(pod)]
    counts = {
        "active": len(active),
        "succeeded": phases.count("Succeeded"),
        "failed": phases.count("Failed"),
    }
    kept = {key: before[key] for key in ("startTime", "completionTime", "conditions") if key in before}
    return {
        **kept,
        **{key: count for key, count in counts.items() if count},
        "ready": sum(map(is_ready, active)),
        "terminating": sum(is_terminating(pod) and not has_ended(pod) for pod in pods),
        "uncountedTerminatedPods": {},
    }


def _restarts(pod: Object) -> int:
    """Return the failures within a pod that is not given up: with OnFailure its restarts count."""
    if pod["spec"].get("restartPolicy") != "OnFailure" or has_ended(pod):
        return 0
    return sum(int(status["restartCount"]) for status in (pod.get("status") or {}).get("containerStatuses") or ())
