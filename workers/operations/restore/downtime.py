"""MLflow while its database is switched: kept up, or with no pod at all where ops.yaml says so.

Kept up, it loses its sessions and is let in again after the two renames; what it writes until then is counted in the
report. With `restore.while_switching: scaled-to-0` its pods are gone before the switch and come back after it. How many
there were stands on the Deployment meanwhile, so that a worker that is killed in between leaves what brings them back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.settings import SettingsError
from workers.systems import fencing
from workers.systems.errors import ClusterNotFound, GatewayError
from workers.wording import count

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems import Systems

SCALED: Final = "scaled-to-0"
REPLICAS: Final = "mlflow-ops/replicas-before-restore"
GONE_SECONDS: Final = 180.0
LOOK_SECONDS: Final = 0.25


def wanted(systems: Systems) -> bool:
    """Whether MLflow's pods are to be gone while its database is switched."""
    return systems.settings.ops.restore.while_switching == SCALED


def steps(deployment: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a plan says of it: before what happens in between, and after it."""
    return (f"Scale {deployment} to 0",), (f"Scale {deployment} back",)


@contextmanager
def scaled_to_0(systems: Systems, progress: Progress) -> Iterator[None]:
    """Within it MLflow has no pods, if that is wanted; after it as many as before, whatever happened.

    Raises OperatorError where the pods do not end.
    """
    replicas = _replicas(systems) if wanted(systems) else 0
    if not replicas:
        yield
        return
    names = systems.settings.ops.kubernetes
    progress.step(f"Scaling {names.deployment} from {replicas} to 0", of=f"Scale {names.deployment} to 0")
    try:
        change = {"metadata": {"annotations": {REPLICAS: str(replicas)}}, "spec": {"replicas": 0}}
        systems.cluster.patch_deployment(names.deployment, change)
        _await_none(systems, progress)
        yield
    except BaseException:
        progress.ended(well=False)
        raise
    finally:
        progress.step(f"Scaling {names.deployment} back", of=f"Scale {names.deployment} back")
        bring_back(systems)
        progress.ended()


def bring_back(systems: Systems) -> int:
    """Give MLflow the pods that a restore has taken away; how many, 0 where none has. Raises ClusterError."""
    name, replicas = systems.settings.ops.kubernetes.deployment, taken_away(systems)
    if replicas:
        change = {"metadata": {"annotations": {REPLICAS: None}}, "spec": {"replicas": replicas}}
        with fencing.putting_back():
            systems.cluster.patch_deployment(name, change)
    return replicas


def taken_away(systems: Systems) -> int:
    """How many pods a restore has taken away and not given back. Raises ClusterError."""
    try:
        found = systems.cluster.deployment(systems.settings.ops.kubernetes.deployment)["metadata"]
    except ClusterNotFound:
        return 0
    return int((found.get("annotations") or {}).get(REPLICAS, 0))


def _replicas(systems: Systems) -> int:
    try:
        return int(systems.cluster.deployment(systems.settings.ops.kubernetes.deployment)["spec"].get("replicas", 1))
    except ClusterNotFound:
        return 0


def _await_none(systems: Systems, progress: Progress) -> None:
    until = time.monotonic() + GONE_SECONDS
    selector = systems.settings.ops.kubernetes.selector
    while left := len(systems.cluster.pods(selector)):
        if time.monotonic() > until:
            raise OperatorError(
                f"{count(left, 'pod')} of MLflow did not end within {GONE_SECONDS:.0f} s: nothing was switched.",
                "See /mlflow health pods; or restore with restore.while_switching: kept-up.",
            )
        progress.checkpoint()
        time.sleep(LOOK_SECONDS)


def mended(systems: Systems) -> str:
    """What was done about pods that an interrupted restore has taken away, as a sentence; empty where none were.

    Raises OperatorError where that could not be looked at although restores here take pods away.
    """
    try:
        replicas = bring_back(systems)
    except (GatewayError, SettingsError):
        if wanted(systems):
            raise
        return ""
    return f"MLflow had been scaled to 0, and gets its {count(replicas, 'pod')} back. " if replicas else ""
