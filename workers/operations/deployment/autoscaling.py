"""What steers the number of pods: a HorizontalPodAutoscaler, KEDA's too.

Beyond its limits a number does not last until its next look
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#how-does-a-horizontalpodautoscaler-work);
at 0 replicas it looks away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.systems.cluster.fields import Fields
from workers.wording import count, duration

if TYPE_CHECKING:
    from workers.systems import Systems

KEDA: Final = "scaledobject.keda.sh/name"
SYNC_SECONDS: Final = 16.0
"""How long until an autoscaler has looked again: --horizontal-pod-autoscaler-sync-period is 15 s."""
DOWN_SECONDS: Final = 300
"""How long it waits before it scales down, if it doesn't say (--horizontal-pod-autoscaler-downscale-stabilization)."""
LEAST_STEP: Final = 4
"""Up to so many replicas it goes at once, and else to twice as many, if it has no behavior."""


def steering(systems: Systems) -> list[Fields]:
    """The autoscalers of MLflow's Deployment; none if they cannot be listed."""
    name = systems.settings.ops.kubernetes.deployment
    try:
        found = systems.cluster.autoscalers()
    except OperatorError:
        return []
    return [each for each in map(_fields, found) if _target(each) == ("Deployment", name)]


def require_within(scalers: Sequence[Fields], replicas: int, namespace: str) -> None:
    """Raise OperatorError if one of them would undo this number at once."""
    for each in scalers:
        least, most = limits(each)
        if replicas > most:
            refused, line = f"at most {most} replicas", _line(each, "max", replicas, namespace)
        elif 0 < replicas < least:
            refused, line = f"at least {least} replicas", _line(each, "min", replicas, namespace)
        else:
            continue
        message = (
            f"{named(each)} allows {refused} ({least} to {most}): it would undo {replicas} within {SYNC_SECONDS:.0f} s."
        )
        raise OperatorError(message, f"To change its limit: {line}")


def warnings(scalers: Sequence[Fields], replicas: int) -> Iterator[str]:
    """What they would do with a number within their limits, and when."""
    for each in scalers:
        if replicas == 0:
            yield _at_zero(each)
        else:
            yield next(changes_ahead([each], replicas), "") or _steers(each, replicas)


def changes_ahead(scalers: Sequence[Fields], replicas: int) -> Iterator[str]:
    """What will become of this number by what they want now; nothing if it lasts, or nobody knows."""
    for each in scalers:
        wants = each.number("status", "desiredReplicas")
        least, most = limits(each)
        if not wants or wants == replicas or _blind(each) is not None or not least <= replicas <= most:
            continue
        side = "scaleUp" if wants > replicas else "scaleDown"
        if not _never(each, side):
            yield f"{_wants(each, wants)}: it will go {_goes(each, side, replicas, wants)}."


def _goes(scaler: Fields, side: str, replicas: int, wants: int) -> str:
    """When, and how: "up to that again within 16 s"."""
    up = side == "scaleUp"
    window = scaler.number("spec", "behavior", side, "stabilizationWindowSeconds", default=0 if up else DOWN_SECONDS)
    when = f"within {SYNC_SECONDS:.0f} s"
    if window:
        when = f"after {duration(window)} " + ("of so much load" if up else "without more load")
    first = _first_step(scaler, side, replicas)
    reached = first is None or (first >= wants if up else first <= wants)
    way = "up to that again" if up else "down to that again"
    if not reached:
        return f"{way} in steps, the first {when}"
    return f"{way}, {when}" if window or not up else f"{way} {when}"


def _first_step(scaler: Fields, side: str, replicas: int) -> int | None:
    """The size that it may set at its next look, as far as it has changed nothing lately; None if any."""
    up = side == "scaleUp"
    rules = scaler.inner("spec", "behavior", side)
    policies = rules.each("policies")
    if not policies:
        return max(2 * replicas, LEAST_STEP) if up else None
    sizes = []
    for policy in policies:
        value = policy.number("value") * (1 if up else -1)
        percent = policy.text("type") == "Percent"
        size = replicas * (100 + value) / 100 if percent else replicas + value
        sizes.append(math.ceil(size) if up else int(size))
    return max(sizes) if up == (rules.text("selectPolicy", default="Max") != "Min") else min(sizes)


def _wants(scaler: Fields, wants: int) -> str:
    return f"{named(scaler)} wants {count(wants, 'replica')} now"


def _steers(scaler: Fields, replicas: int) -> str:
    blind = _blind(scaler)
    if blind is not None:
        return f"{named(scaler)} can't read its metrics now{blind}: it leaves the number alone until it can."
    wants = scaler.number("status", "desiredReplicas")
    if wants == replicas:
        return f"{named(scaler)} steers it and wants {count(replicas, 'replica')} now, too."
    side, way = ("scaleUp", "up") if wants > replicas else ("scaleDown", "down")
    if wants and _never(scaler, side):
        stays = "1 replica stays" if replicas == 1 else f"{replicas} replicas stay"
        return f"{_wants(scaler, wants)}, but its behavior never scales {way}: {stays}."
    return f"{named(scaler)} steers it and will change the number again."


def _at_zero(scaler: Fields) -> str:
    keda = scaler.labels("metadata", "labels").get(KEDA, "")
    if keda:
        return f"KEDA's ScaledObject {keda} starts it again at its next look, if its trigger says so."
    return f"{named(scaler)} does nothing while the Deployment has 0 replicas."


def _blind(scaler: Fields) -> str | None:
    """Why it cannot scale now, for a sentence; None if it can."""
    for each in scaler.each("status", "conditions"):
        if each.text("type") == "ScalingActive" and each.text("status") == "False":
            said = each.text("message").rstrip(".")
            return f" ({said})" if said else ""
    return None


def _never(scaler: Fields, side: str) -> bool:
    return scaler.text("spec", "behavior", side, "selectPolicy") == "Disabled"


def named(scaler: Fields) -> str:
    """Its kind and name."""
    return f"HorizontalPodAutoscaler {scaler.text('metadata', 'name')}"


def limits(scaler: Fields) -> tuple[int, int]:
    """The fewest and the most replicas that it allows."""
    return scaler.number("spec", "minReplicas", default=1), scaler.number("spec", "maxReplicas", default=1)


def _fields(item: dict[str, Any]) -> Fields:
    return Fields(item, "HorizontalPodAutoscaler")


def _target(scaler: Fields) -> tuple[str, str]:
    target = scaler.inner("spec", "scaleTargetRef")
    return target.text("kind", default="Deployment"), target.text("name")


def _line(scaler: Fields, side: str, replicas: int, namespace: str) -> str:
    """The command that moves its limit; KEDA writes its own autoscaler anew, so there it is the ScaledObject's."""
    keda = scaler.labels("metadata", "labels").get(KEDA, "")
    kind, name, key = (
        ("scaledobject", keda, f"{side}ReplicaCount")
        if keda
        else ("hpa", scaler.text("metadata", "name"), f"{side}Replicas")
    )
    return f'kubectl patch {kind} {name} -n {namespace} --type merge -p \'{{"spec":{{"{key}":{replicas}}}}}\''
