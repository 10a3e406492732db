"""What a Deployment's status says of a rollout, as `kubectl rollout status` reads it, and what was well before one.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status: nothing of `status` counts
until the controller has seen the change (observedGeneration); then every pod is of the new template and available, and
no old pod is left. Two traps: the condition Progressing=False of an earlier rollout stays until the next progress, and
pods and ReplicaSets of another template say nothing about the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from workers.operations.deployment.estimate import allowances
from workers.operations.deployment.template_diff import bare, differences
from workers.systems.cluster.fields import Fields

Json = dict[str, Any]

REVISION: Final = "deployment.kubernetes.io/revision"


class Goal(StrEnum):
    """What to wait for. template: every pod is of the new one; replicas: as many pods as were asked for."""

    TEMPLATE = "template"
    REPLICAS = "replicas"


class State(StrEnum):
    """How far a Deployment is."""

    WELL = "well"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """One look at a Deployment.

    why: in the controller's words, if it failed, or if it waits for something that may not clear. note: what else is
    true and worth a sentence.
    """

    state: State
    why: str = ""
    note: str = ""


@dataclass(frozen=True)
class Way:
    """What to go back to: a pod template that was well. revision: its number, empty for the Deployment's own."""

    template: Json
    revision: str = ""


def judge(
    deployment: Json,
    goal: Goal = Goal.TEMPLATE,
    before: Json | None = None,
    sets: Sequence[Json] | None = None,
    *,
    room_may_come: bool = False,
) -> Verdict:
    """What one answer of the API server says of a Deployment.

    before: the Deployment before the change; a failure that it had then isn't held against the change. sets: the
    ReplicaSets, if they were read too; then only those that the change is about speak against it. room_may_come: pods
    of it are going, or went just now, so a refusal (of a quota) may end by itself. Else as kubectl's own
    DeploymentStatusViewer (https://pkg.go.dev/k8s.io/kubectl/pkg/polymorphichelpers#DeploymentStatusViewer).
    """
    if not is_observed(deployment):
        refused = _set_refused(deployment, before)
        return Verdict(State.FAILED, f"no ReplicaSet can be made: {refused}") if refused else Verdict(State.WAITING)
    late = None if before is not None and past_deadline(before) == past_deadline(deployment) else _late(deployment)
    verdict = _judge_replicas(deployment) if goal is Goal.REPLICAS else _judge_template(deployment, late, sets)
    if verdict.state is not State.WAITING:
        return verdict
    refused = _refused(deployment, goal, before, sets)
    if not refused:
        return verdict
    may_clear = room_may_come or _makes_room(deployment, goal)
    return Verdict(State.WAITING if may_clear else State.FAILED, f"no pod can be made: {refused}")


def is_observed(deployment: Json) -> bool:
    """Whether the controller has seen the Deployment as it is: before that, its status is about an earlier one."""
    fields = Fields(deployment, "Deployment")
    return fields.number("status", "observedGeneration") >= fields.number("metadata", "generation")


def is_complete(deployment: Json) -> bool:
    """Whether every pod is of the template and available, and none is left over."""
    wanted, updated, everything, available = figures(deployment)
    return is_observed(deployment) and updated == everything == wanted and available >= wanted


def counted(deployment: Json) -> tuple[int, int, int]:
    """How many pods are wanted, how many new ones are available, and how much is left to do."""
    wanted, updated, everything, available = figures(deployment)
    if not is_observed(deployment):
        return wanted, 0, 1
    return wanted, min(updated, available), (everything - updated) + abs(wanted - everything)


def figures(deployment: Json) -> tuple[int, int, int, int]:
    """Wanted, updated, all and available pods."""
    fields = Fields(deployment, "Deployment")
    return (
        fields.number("spec", "replicas", default=1),
        fields.number("status", "updatedReplicas"),
        fields.number("status", "replicas"),
        fields.number("status", "availableReplicas"),
    )


def is_stuck(deployment: Json) -> bool:
    """Whether the rollout of its template has passed its deadline, as far as the controller has looked."""
    return is_observed(deployment) and past_deadline(deployment) is not None and not is_complete(deployment)


def past_deadline(deployment: Json) -> tuple[str, str] | None:
    """When a rollout passed its deadline, and in which words; None if none did."""
    progressing = _condition(deployment, "Progressing")
    if progressing is None or progressing.text("status") != "False":
        return None
    if progressing.text("reason") != "ProgressDeadlineExceeded":
        return None
    return progressing.text("lastUpdateTime"), progressing.text("message")


def owned(deployment: Json, replica_sets: Sequence[Json]) -> list[Json]:
    """The ReplicaSets that are this Deployment's."""
    return [each for each in replica_sets if is_owned(each, (deployment,))]


def is_owned(item: Json, owners: Sequence[Json]) -> bool:
    """Whether an object is one of these others'."""
    uids = {owner["metadata"].get("uid") for owner in owners}
    return any(reference.get("uid") in uids for reference in item["metadata"].get("ownerReferences") or ())


def of_template(deployment: Json, replica_sets: Sequence[Json]) -> list[Json]:
    """Those of them that make pods of the template it has now."""
    return [each for each in owned(deployment, replica_sets) if _is_current(deployment, each)]


def available(replica_set: Json) -> int:
    """How many of its pods are available."""
    return Fields(replica_set, "ReplicaSet").number("status", "availableReplicas")


def template_to_return_to(before: Json, replica_sets: Sequence[Json]) -> Way | None:
    """The pod template that was well before a change; None if none was.

    before: the Deployment before it, and its ReplicaSets of then. Its own template if that was rolled out, else the
    revision with most available pods; the older one of two.
    """
    if is_complete(before):
        return Way(before["spec"]["template"])
    serving = [each for each in owned(before, replica_sets) if available(each) > 0]
    best = max(serving, key=lambda each: (available(each), not _is_current(before, each)), default=None)
    if best is None:
        return None
    if _is_current(before, best):
        return Way(before["spec"]["template"])
    return Way(bare(best["spec"]["template"]), str((best["metadata"].get("annotations") or {}).get(REVISION, "")))


def _judge_template(deployment: Json, late: str | None, sets: Sequence[Json] | None) -> Verdict:
    if is_complete(deployment):
        return Verdict(State.WELL)
    if deployment["spec"].get("paused"):
        return Verdict(State.FAILED, "it is paused, so Kubernetes makes no new pod (kubectl rollout resume)")
    if late is not None and not _of_another(deployment, late, sets):
        return Verdict(State.FAILED, f"its progress deadline has passed: {late.rstrip('.') or 'no progress'}")
    return Verdict(State.WAITING)


def _judge_replicas(deployment: Json) -> Verdict:
    wanted, updated, everything, there = figures(deployment)
    under_way = updated < everything
    note = ""
    if under_way and past_deadline(deployment) is not None:
        note = "An earlier rollout is still stuck: see /mlflow rollout status."
    elif deployment["spec"].get("paused"):
        note = "The Deployment is paused: a change to its template isn't rolled out."
    elif under_way:
        note = "A rollout is still under way: see /mlflow rollout status."
    most = wanted + allowances(deployment)[0] if under_way and wanted else wanted
    return (
        Verdict(State.WELL, note=note) if there >= wanted and wanted <= everything <= most else Verdict(State.WAITING)
    )


def _late(deployment: Json) -> str | None:
    found = past_deadline(deployment)
    return None if found is None else found[1]


def _of_another(deployment: Json, message: str, sets: Sequence[Json] | None) -> bool:
    """Whether the message names a ReplicaSet of another template: the controller has not come to the new one yet."""
    mine = owned(deployment, sets or ())
    return any(f'"{each["metadata"]["name"]}"' in message for each in mine if not _is_current(deployment, each))


def _refused(deployment: Json, goal: Goal, before: Json | None, sets: Sequence[Json] | None) -> str:
    """Why the API server refuses the pods (quota, LimitRange, ServiceAccount, webhook, Pod Security); empty if not."""
    found = _failure(deployment)
    if found is None:
        return ""
    if sets is None:
        then = _failure(before) if before is not None else None
        same = then is not None and _said(then) == _said(found)
        return "" if same else found.text("message").rstrip(".")
    mine = of_template(deployment, sets) if goal is Goal.TEMPLATE else owned(deployment, sets)
    for each in mine:
        fields = Fields(each, "ReplicaSet")
        failure = _failure(each)
        short = fields.number("status", "replicas") < fields.number("spec", "replicas", default=1)
        if failure is not None and is_observed(each) and short:
            return failure.text("message").rstrip(".")
    return ""


def _set_refused(deployment: Json, before: Json | None) -> str:
    """Why the API server refuses the ReplicaSet itself; empty if not.

    The controller says so before it counts the generation as observed, so nothing else will ever come of it.
    """
    found, then = _condition(deployment, "Progressing"), _condition(before, "Progressing") if before else None
    if found is None or found.text("reason") != "ReplicaSetCreateError":
        return ""
    return "" if then is not None and _said(then) == _said(found) else found.text("message").rstrip(".")


def _makes_room(deployment: Json, goal: Goal) -> bool:
    """Whether the rollout itself makes room: old pods are there that may go before new ones are ready."""
    _, updated, everything, _ = figures(deployment)
    return goal is Goal.TEMPLATE and everything > updated and allowances(deployment)[1] > 0


def _failure(item: Json) -> Fields | None:
    found = _condition(item, "ReplicaFailure")
    return found if found is not None and found.text("status") == "True" else None


def _said(condition: Fields) -> tuple[str, str]:
    return condition.text("lastUpdateTime"), condition.text("message")


def _condition(item: Json, kind: str) -> Fields | None:
    conditions = Fields(item, "Deployment").each("status", "conditions")
    return next((each for each in conditions if each.text("type") == kind), None)


def _is_current(deployment: Json, replica_set: Json) -> bool:
    return not differences(bare(replica_set["spec"]["template"]), bare(deployment["spec"]["template"]))
