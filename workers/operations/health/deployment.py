"""The Deployment: what is wanted, what there is, and how the last rollout went.

A pod too few is a warning only: the pods check names the culprit. Events are at most a warning, because Kubernetes
warns of much that mends itself; what has mended itself is left out (`standing_warnings`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workers.errors import OperatorError
from workers.operations.health.questions import Answer, Question
from workers.operations.health.standing_warnings import Groups, There, standing
from workers.report import Facts, Section, Status, Table
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterNotFound
from workers.wording import ago, count

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings

Json = dict[str, Any]


def ask(asking: Asking) -> Answer:
    """The Deployment and, beside it, the warnings about it; those may fail without failing the check."""
    names = asking.names
    events = asking.aside(asking.cluster.warnings)
    sets = asking.aside(lambda: asking.cluster.replica_sets(names.selector))
    try:
        deployment = asking.cluster.deployment(names.deployment)
    except ClusterNotFound:
        return Answer(Status.FAIL, f"There is no Deployment {names.deployment} in {names.namespace}.", figure="missing")
    try:
        warnings: Sequence[Json] | str = events.result(timeout=asking.left)
    except OperatorError as error:
        warnings = error.message
    except TimeoutError:
        warnings = "Kubernetes did not list its events in time."
    there = There(deployment, _had(asking.pods), _had(lambda: sets.result(timeout=asking.left)))
    return judge(there, warnings, asking.now)


def _had(listed: Callable[[], list[Json]]) -> list[Json] | None:
    """What only helps to judge the warnings; None if it cannot be had."""
    try:
        return listed()
    except (OperatorError, TimeoutError):
        return None


def judge(there: There, warnings: Sequence[Json] | str, now: datetime) -> Answer:
    """From a Deployment with its pods, and Warning events; a string in their place says why there are none."""
    fields = Fields(there.deployment, "Deployment")
    wanted = fields.number("spec", "replicas", default=1)
    ready, available = fields.number("status", "readyReplicas"), fields.number("status", "availableReplicas")
    updated = fields.number("status", "updatedReplicas")
    conditions = {condition.text("type"): condition for condition in fields.each("status", "conditions")}
    groups = {} if isinstance(warnings, str) else standing(warnings, there, now)
    status, sentence = _verdict(fields, conditions, groups, now)
    return Answer(
        status,
        sentence,
        figure="scaled to 0" if wanted == 0 else f"{ready}/{wanted} ready",
        details=(_facts(fields, conditions, now), *_events(groups, warnings)),
        figures={
            "wanted": wanted,
            "updated": updated,
            "ready": ready,
            "available": available,
            "warnings": sum(groups.values()),
        },
    )


def _verdict(  # noqa: PLR0911 - one line per finding, worst first
    fields: Fields, conditions: dict[str, Fields], groups: Groups, now: datetime
) -> tuple[Status, str]:
    wanted = fields.number("spec", "replicas", default=1)
    ready, available = fields.number("status", "readyReplicas"), fields.number("status", "availableReplicas")
    updated = fields.number("status", "updatedReplicas")
    progressing = conditions.get("Progressing")
    if wanted == 0:
        return Status.WARN, "It is scaled to 0: MLflow is switched off."
    refused = conditions.get("ReplicaFailure")
    why = f" No new pod can be made: {_said(refused)}." if refused and refused.text("status") == "True" else ""
    if available == 0:
        return Status.FAIL, f"None of {count(wanted, 'wanted pod')} is available.{why}"
    if progressing and progressing.text("status") == "False":
        since = progressing.moment("lastTransitionTime")
        when = f" {ago((now - since).total_seconds())}" if since else ""
        serve = f"{available} of {wanted} pods still serve"
        return Status.WARN, f"The rollout got stuck{when}: {_said(progressing)}; {serve}.{why}"
    if why:
        return Status.WARN, f"{available} of {wanted} pods serve.{why}"
    if fields.number("status", "observedGeneration") < fields.number("metadata", "generation") or updated < wanted:
        return Status.WARN, f"A rollout is under way: {updated} of {wanted} pods are new."
    if fields.number("status", "replicas") > updated:
        old = fields.number("status", "replicas") - updated
        return Status.WARN, f"A rollout is under way: {updated} of {wanted} pods are new, {old} old left."
    if ready < wanted:
        return Status.WARN, f"Only {ready} of {wanted} pods are ready; the pods check says why."
    if groups:
        total = sum(groups.values())
        reasons = Counter[str]()
        for (reason, _), times in groups.items():
            reasons[reason] += times
        said = ", ".join(f"{reason} ({times})" for reason, times in reasons.most_common(2))
        return (
            Status.WARN,
            f"All pods are ready, but Kubernetes gave {count(total, 'warning')} in the last hour: {said}.",
        )
    return Status.OK, f"All {wanted} wanted pods are ready." if wanted > 1 else "The one wanted pod is ready."


def _said(condition: Fields) -> str:
    """A condition in the controller's words, and its reason."""
    message, reason = condition.text("message").rstrip("."), condition.text("reason", default="no reason given")
    return f"{message} ({reason})" if message else reason


def _facts(fields: Fields, conditions: dict[str, Fields], now: datetime) -> Facts:
    images = [c.text("image") for c in fields.each("spec", "template", "spec", "containers")]
    progressing = conditions.get("Progressing")
    rolled = progressing.moment("lastUpdateTime") if progressing else None
    items = [
        ("image", ", ".join(images)),
        ("revision", fields.text("metadata", "annotations", "deployment.kubernetes.io/revision", default="unknown")),
        ("last rollout", ago((now - rolled).total_seconds()) if rolled else "unknown"),
        *((word, f"{c.text('status')}: {c.text('message') or c.text('reason')}") for word, c in conditions.items()),
    ]
    for word, path in (("wanted", ("spec", "replicas")), ("updated", ("status", "updatedReplicas"))):
        items.append((word, str(fields.number(*path))))
    items.append(("ready", str(fields.number("status", "readyReplicas"))))
    items.append(("available", str(fields.number("status", "availableReplicas"))))
    return Facts(items=tuple(items))


def _events(groups: Groups, warnings: Sequence[Json] | str) -> tuple[Section, ...]:
    if isinstance(warnings, str):
        return (Facts(items=(("events", warnings),)),)
    if not groups:
        return ()
    rows = tuple((str(times), reason, message) for (reason, message), times in list(groups.items())[:10])
    title = "Warnings of the last hour"
    return (Table(title=title, columns=("times", "reason", "message"), rows=rows, numeric=("times",)),)


def _look(settings: Settings) -> str:
    names = settings.ops.kubernetes
    return f"kubectl describe deployment {names.deployment} -n {names.namespace}"


QUESTION = Question(
    "deployment", "Deployment", "Kubernetes", ask, _look, spokesman="pods", command="describe deployment"
)
