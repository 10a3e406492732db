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

if TYPE_CHECKING:
    from workers.systems import Systems

KEDA: Final = "scaledobject.keda.sh/name"
SYNC_SECONDS: Final = 16.0
"""How long until an autoscaler has looked again: --horizontal-pod-autoscaler-sync-period is 15 s."""


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
    """What they do about a number within their limits."""
    for each in scalers:
        if replicas == 0:
            yield f"{named(each)} does nothing while the Deployment has 0 replicas."
        else:
            yield f"{named(each)} steers it and will change the number again."


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
