"""What steers the number of pods: a HorizontalPodAutoscaler, KEDA's too.

Beyond its limits a number does not last until its next look
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#how-does-a-horizontalpodautoscaler-work);
at 0 replicas it looks away.
"""

from __future__ import annotations

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
        if not wants or _blind(each) is not None or not least <= replicas <= most:
            continue
        if replicas > wants and not _never_down(each):
            window = each.number("spec", "behavior", "scaleDown", "stabilizationWindowSeconds", default=DOWN_SECONDS)
            when = f"after {duration(window)} without more load" if window else f"within {SYNC_SECONDS:.0f} s"
            yield f"{named(each)} wants {count(wants, 'replica')} now: it will go down to that again, {when}."
        elif replicas < wants:
            yield (
                f"{named(each)} wants {count(wants, 'replica')} now: it will go up to that again within "
                f"{SYNC_SECONDS:.0f} s."
            )


def _steers(scaler: Fields, replicas: int) -> str:
    blind = _blind(scaler)
    if blind is not None:
        return f"{named(scaler)} can't read its metrics now{blind}: it leaves the number alone until it can."
    if scaler.number("status", "desiredReplicas") == replicas:
        return f"{named(scaler)} steers it and wants {count(replicas, 'replica')} now, too."
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


def _never_down(scaler: Fields) -> bool:
    return scaler.text("spec", "behavior", "scaleDown", "selectPolicy") == "Disabled"


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
