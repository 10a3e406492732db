"""Deployments and the other kinds that own pods, Jobs and CronJobs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from mlflow_ops_sandbox.cluster.api.label_selectors import matches, selector_of
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.apiserver.validation.names import check_labels
from mlflow_ops_sandbox.cluster.apiserver.validation.pods import check_template
from mlflow_ops_sandbox.cluster.apiserver.validation.problems import Problems

_IMMUTABLE = "field is immutable"
_PERCENT = re.compile(r"^[0-9]+%$")
_HUNDRED = 100
_NOT_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)


def check_deployment(item: Object, problems: Problems) -> None:
    """Check a Deployment."""
    spec = item.get("spec") or {}
    problems.at_least("spec.replicas", spec.get("replicas"))
    _check_selector(spec, problems)
    check_template(spec.get("template") or {}, "spec.template", problems)
    _check_strategy(spec.get("strategy") or {}, problems)
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        problems.at_least(f"spec.{field}", spec.get(field))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        problems.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def check_owner(item: Object, problems: Problems) -> None:
    """Check a ReplicaSet, StatefulSet or DaemonSet."""
    spec = item.get("spec") or {}
    problems.at_least("spec.replicas", spec.get("replicas"))
    _check_selector(spec, problems)
    check_template(_with_claims(spec), "spec.template", problems)


def _with_claims(spec: Object) -> Object:
    """The template as its pods will be: a StatefulSet's claims are volumes of theirs, which it need not name."""
    template = spec.get("template") or {}
    claims = [
        {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        for claim in spec.get("volumeClaimTemplates") or ()
    ]
    pod = template.get("spec") or {}
    return {**template, "spec": {**pod, "volumes": [*(pod.get("volumes") or ()), *claims]}} if claims else template


def check_owner_update(before: Object, after: Object, problems: Problems) -> None:
    """Check that the selector stayed what it was."""
    wanted = after["spec"].get("selector")
    if wanted != before["spec"].get("selector"):
        problems.invalid("spec.selector", wanted, _IMMUTABLE)


def check_stateful_set_update(before: Object, after: Object, problems: Problems) -> None:
    """Check that only what may change has changed."""
    free = {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy", "minReadySeconds"}  # fmt: skip

    def fixed(item: Object) -> Object:
        return {key: value for key, value in item["spec"].items() if key not in free}

    if fixed(before) != fixed(after):
        problems.forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        )


def _check_selector(spec: Object, problems: Problems) -> None:
    selector = spec.get("selector")
    if selector is None:
        problems.required("spec.selector")
        selector = {}
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        problems.invalid("spec.selector", selector, "empty selector is invalid for deployment")
        return
    check_labels(selector.get("matchLabels"), "spec.selector.matchLabels", problems)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    try:
        fits = bool(selector) and matches(selector_of(selector), labels)
    except (ApiError, KeyError, ValueError):
        return
    if selector and not fits:
        detail = "`selector` does not match template `labels`"
        problems.invalid("spec.template.metadata.labels", labels, detail)


def _check_strategy(strategy: Object, problems: Problems) -> None:
    kind = strategy.get("type")
    if kind not in {"RollingUpdate", "Recreate"}:
        problems.unsupported("spec.strategy", strategy, "Recreate", "RollingUpdate")
    rolling = strategy.get("rollingUpdate")
    if kind == "Recreate" and rolling is not None:
        detail = "may not be specified when strategy `type` is 'Recreate'"
        problems.forbidden("spec.strategy.rollingUpdate", detail)
        return
    amounts: dict[str, Any] = rolling or {}
    for field in ("maxUnavailable", "maxSurge"):
        _check_amount(amounts.get(field), f"spec.strategy.rollingUpdate.{field}", problems)
    if rolling is not None and _is_zero(amounts.get("maxUnavailable")) and _is_zero(amounts.get("maxSurge")):
        detail = "may not be 0 when `maxSurge` is 0"
        problems.invalid("spec.strategy.rollingUpdate.maxUnavailable", amounts.get("maxUnavailable"), detail)
    unavailable = amounts.get("maxUnavailable")
    if isinstance(unavailable, str) and _PERCENT.match(unavailable) and int(unavailable[:-1]) > _HUNDRED:
        problems.invalid("spec.strategy.rollingUpdate.maxUnavailable", unavailable, "must not be greater than 100%")


def _check_amount(value: Any, path: str, problems: Problems) -> None:
    if isinstance(value, int):
        problems.at_least(path, value)
    elif isinstance(value, str) and not _PERCENT.match(value):
        problems.invalid(path, value, _NOT_PERCENT)


def check_amount(value: Any, path: str, problems: Problems) -> None:
    """Check a number of pods or a percentage, where it is given."""
    _check_amount(value, path, problems)


def _is_zero(value: Any) -> bool:
    return value in (0, "0", "0%")


def check_job(item: Object, problems: Problems) -> None:
    """Check a Job."""
    check_job_spec(item.get("spec") or {}, "spec", problems)


def check_job_spec(spec: Object, path: str, problems: Problems) -> None:
    """Check the spec of a Job, alone or within a CronJob."""
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
        problems.at_least(f"{path}.{field}", spec.get(field))
    template = spec.get("template") or {}
    check_template(template, f"{path}.template", problems, ("OnFailure", "Never"))


def check_job_update(before: Object, after: Object, problems: Problems) -> None:
    """Check that selector, template and completions stayed what they were."""
    for field in ("completions", "selector", "template", "completionMode", "podFailurePolicy"):
        wanted = after["spec"].get(field)
        if wanted != before["spec"].get(field):
            problems.invalid(f"spec.{field}", wanted, _IMMUTABLE)


def check_cron_job(item: Object, problems: Problems) -> None:
    """Check a CronJob."""
    spec = item.get("spec") or {}
    schedule = spec.get("schedule", "")
    if not schedule:
        problems.required("spec.schedule")
    elif not schedule.startswith("@") and len(schedule.split()) != 5:  # noqa: PLR2004 - a cron expression has five
        fields = schedule.split()
        detail = f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
        problems.invalid("spec.schedule", schedule, detail)
    elif not croniter.is_valid(schedule):
        problems.invalid("spec.schedule", schedule, f"failed to parse int from {schedule.split()[0]}")
    zone = spec.get("timeZone")
    if zone is not None:
        try:
            datetime.now(UTC).astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError):
            problems.invalid("spec.timeZone", zone, f"unknown time zone {zone}")
    problems.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), "Allow", "Forbid", "Replace")
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        problems.at_least(f"spec.{field}", spec.get(field))
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    check_job_spec(job, "spec.jobTemplate.spec", problems)
