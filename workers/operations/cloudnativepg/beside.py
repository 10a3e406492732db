"""A second Cluster beside the live one, as it was at a moment: made, awaited, and removed whatever happens.

It has one name for each live one. What is found under it and bears our labels was left by a worker that was killed
(restores of one target take turns); what doesn't is none of ours and stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog

from workers.errors import OperatorError
from workers.operations.cloudnativepg import live as live_cluster
from workers.operations.cloudnativepg import manifest
from workers.systems import fencing
from workers.systems.errors import ClusterUnavailable, DatabaseRefused, GatewayError, Unreachable
from workers.wording import duration

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.cloudnativepg.live import Live
    from workers.operations.moments import Moment
    from workers.systems import Systems
    from workers.systems.cluster.cloudnativepg import Clusters
    from workers.systems.postgres.database import Database

RECOVER_SECONDS: Final = 5 * 3600.0
"""For base and WAL to be fetched and replayed; less than an operation may take."""
AWAY_SECONDS: Final = 300.0
"""For which the API server may be away meanwhile."""
GONE_SECONDS: Final = 300.0
LET_IN_SECONDS: Final = 120.0
"""Until the operator has set the superuser's password."""
LOOK_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


@contextmanager
def recovered(systems: Systems, of: Live, to: Moment, progress: Progress) -> Iterator[Database]:
    """MLflow's database in it, as the superuser. Raises OperatorError, and Cancelled."""
    clusters, target = of.clusters, systems.settings.environment.target
    made = manifest.made(of.item, to, target)
    name = made["metadata"]["name"]
    _remove_left_over(clusters, name, target, progress)
    progress.step(f"Recovering cluster/{name} from the backups of cluster/{of.name}", of="from the backups")
    try:
        clusters.make(made)
        _await_healthy(clusters, name, progress)
        yield _let_in(clusters, name, systems.database.name, progress)
    finally:
        _removed(clusters, name, target, progress)


def clear(systems: Systems) -> None:
    """Remove what a worker that was killed has left. Raises GatewayError."""
    try:
        clusters, live = live_cluster.named(systems)
    except OperatorError:
        return
    name = manifest.name_of(live)
    if _is_ours(clusters, name, systems.settings.environment.target):
        clusters.remove(name)


def _is_ours(clusters: Clusters, name: str, target: str) -> bool | None:
    """None where there is none."""
    found = clusters.find(name)
    if found is None:
        return None
    labels = found["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in manifest.labels(target).items())


def _remove_left_over(clusters: Clusters, name: str, target: str, progress: Progress) -> None:
    ours = _is_ours(clusters, name, target)
    if ours is None:
        return
    if not ours:
        raise OperatorError(
            f"There is a cluster/{name} in {clusters.namespace} that isn't this MLflow's: its labels are others.",
            "Wait until another MLflow's restore is done, or remove it.",
        )
    progress.step(f"Removing cluster/{name}, which an interrupted run has left")
    clusters.remove(name)
    if not _gone(clusters, name, progress):
        raise OperatorError(
            f"cluster/{name} is still being removed after {duration(GONE_SECONDS)}.",
            f"kubectl get cluster {name} -n {clusters.namespace} -o yaml says what it waits for.",
        )


def _gone(clusters: Clusters, name: str, progress: Progress | None = None) -> bool:
    until = time.monotonic() + GONE_SECONDS
    while clusters.find(name) is not None:
        if time.monotonic() > until:
            return False
        if progress:
            progress.checkpoint()
        time.sleep(LOOK_SECONDS)
    return True


def _await_healthy(clusters: Clusters, name: str, progress: Progress) -> None:
    began = answered = time.monotonic()
    phase = ""
    while True:
        progress.checkpoint()
        now = time.monotonic()
        try:
            seen = clusters.standing(name)
        except (Unreachable, ClusterUnavailable):
            if now - answered > AWAY_SECONDS:
                raise
            time.sleep(LOOK_SECONDS)
            continue
        answered = now
        if seen.healthy:
            return
        if seen.failed or now - began > RECOVER_SECONDS:
            words = clusters.last_words(name)
            late = "" if seen.failed else f" after {duration(RECOVER_SECONDS)}"
            said = "; ".join(each.rstrip(".") for each in (seen.reason, words) if each)
            raise OperatorError(
                f"CloudNativePG doesn't recover that moment: “{seen.phase}”{late}{f' ({said})' if said else ''}.",
                "Try a later or an earlier moment; kubectl cnpg status shows the backups of the live Cluster.",
            )
        if seen.phase != phase:
            phase = seen.phase
            progress.step(f"cluster/{name}: {phase}")
        time.sleep(LOOK_SECONDS)


def _let_in(clusters: Clusters, name: str, database: str, progress: Progress) -> Database:
    until = time.monotonic() + LET_IN_SECONDS
    while True:
        progress.checkpoint()
        found = clusters.superuser(name, database)
        try:
            # The database itself may be missing: that is for who asked for it to say.
            clusters.superuser(name, "postgres").role()
        except (DatabaseRefused, Unreachable):
            if time.monotonic() > until:
                raise
            time.sleep(LOOK_SECONDS)
            continue
        return found


def _removed(clusters: Clusters, name: str, target: str, progress: Progress) -> None:
    """Remove it; that this fails must not hide what came before it, and the next run or its aftermath removes it."""
    try:
        # Someone else may have made one of that name at the last moment.
        ours = _is_ours(clusters, name, target)
        if ours:
            with fencing.putting_back():
                clusters.remove(name)
        gone = not ours or _gone(clusters, name)
    except GatewayError as error:
        _log.warning("a second Cluster is left over", cluster=name, why=error.message)
        gone = False
    if not gone:
        with suppress(OperatorError):
            progress.ended(f"cluster/{name} is still being removed", well=False)
