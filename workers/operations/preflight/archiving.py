"""What going back to a moment needs where another program keeps the WAL: with CloudNativePG kind, rights, backups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup.wal.archive import moment_of
from workers.operations.cloudnativepg import archived, live, manifest
from workers.operations.health import archiving as health
from workers.operations.health.questions import Answer
from workers.operations.restore import by_hand
from workers.report import Facts, Status, Text
from workers.systems.cluster import cloudnativepg
from workers.systems.postgres import archiving

if TYPE_CHECKING:
    from workers.operations.cloudnativepg.live import Live
    from workers.operations.health.questions import Asking
    from workers.systems.cluster.cloudnativepg import Clusters

ROLE: Final = "deploy/kubernetes/components/cloudnativepg"


def ask(asking: Asking) -> Answer:
    """Compare what there is with what is needed. Raises OperatorError."""
    systems, kept_by = asking.systems, asking.settings.ops.recovery.source
    if kept_by != "cnpg":
        seen = health.ask(asking)
        line = by_hand.command(kept_by, None)
        text = f"Going back to a moment is done by hand: {line} ({by_hand.PAGE})"
        return Answer(seen.status, seen.sentence, seen.figure, (*seen.details, Text(text=text)), own_fault=True)
    clusters, name = live.named(systems)
    if not clusters.installed():
        raise OperatorError("CloudNativePG isn't installed: there is no kind Cluster.", "Check recovery.source.")
    lacking = _rights(clusters, name)
    if lacking:
        sentence = f"Our account may not {', '.join(lacking)} in {clusters.namespace}: apply {ROLE}."
        return Answer(Status.FAIL, sentence, f"{len(lacking)} missing", own_fault=True)
    of = live.look(systems)
    store = (cloudnativepg.plugin(of.item) or {}).get("barmanObjectName", "")
    admin = systems.admin_database.within(asking.patience)
    why = archived.lacking(archiving.look(admin), admin.role().name)
    if why:
        return Answer(Status.FAIL, f"{why[0]}.", "not possible", (Text(text=why[1]),), own_fault=True)
    if of.since is None:
        raise OperatorError(f"{of.words} has no completed backup yet.", "Make one: kubectl cnpg backup.")
    sentence = f"CloudNativePG can recover any moment since {moment_of(of.since)}."
    return Answer(Status.OK, sentence, "", (_facts(of, store),), own_fault=True)


def _facts(of: Live, store: str) -> Facts:
    kept = f"the plugin's objectstore/{store}" if store else "the Cluster's own barmanObjectStore"
    return Facts(items=(("cluster", of.words), ("backups in", kept), ("second cluster", manifest.name_of(of.name))))


def _rights(clusters: Clusters, name: str) -> list[str]:
    """What our account lacks, as in "get clusters/mlflow-db"."""
    second = manifest.name_of(name)
    wanted = (
        ("get", "postgresql.cnpg.io", "clusters", name),
        ("get", "postgresql.cnpg.io", "clusters", second),
        ("create", "postgresql.cnpg.io", "clusters", ""),
        ("delete", "postgresql.cnpg.io", "clusters", second),
        ("get", "", "secrets", cloudnativepg.superuser_secret(second)),
        ("list", "batch", "jobs", ""),
        ("list", "", "pods", ""),
        ("get", "", "pods/log", ""),
    )
    lacking = (each for each in wanted if not clusters.cluster.may(*each))
    return [f"{verb} {kind}{f'/{which}' if which else ''}" for verb, _, kind, which in lacking]
