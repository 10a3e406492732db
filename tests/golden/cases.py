"""Commands and the situations in which they are asked for, in the order in which they are: each a golden file's name.

`read` and `plan` change nothing; `do` is carried out, and what comes after it finds it so.
"""

from typing import NamedTuple


class Case(NamedTuple):
    """words: as after /mlflow; {run}, {runs}, {set} and {pod} are what the sandbox has. do: carried out."""

    name: str
    words: str
    do: bool = False


EMPTY = (
    Case("backup-list-empty", "backup list"),
    Case("backup-usage-empty", "backup usage"),
    Case("restore-database-without-a-backup", "restore database latest"),
    Case("drill-without-a-backup", "drill"),
    Case("incident-show-none-open", "incident show"),
    Case("alerts-list", "alerts list"),
    Case("trend-empty", "trend"),
    Case("jobs-empty", "jobs"),
    Case("audit-empty", "audit"),
    Case("restore-undo-nothing-to-undo", "restore undo"),
    Case("restore-prune-nothing-to-remove", "restore prune"),
    Case("schedule-list", "schedule list"),
)
WELL = (
    Case("health", "health"),
    Case("health-of-pods", "health pods"),
    Case("health-of-storage", "health storage"),
    Case("status", "status"),
    Case("top", "top"),
    Case("events", "events"),
    Case("describe-deployment", "describe deployment"),
    Case("describe-pod", "describe pod {pod}"),
    Case("manifest-service", "manifest service"),
    Case("howto-port-forward", "howto port-forward"),
    Case("history", "history"),
    Case("rollout-status", "rollout status"),
    Case("cert-show", "cert show"),
    Case("config-show", "config show"),
    Case("logs", "logs show --tail 20"),
    Case("logs-size", "logs size"),
    Case("experiments-list", "experiments list"),
    Case("experiments-show", "experiments show load-forecast-eu"),
    Case("experiments-search-none", "experiments search nothing-is-called-so"),
    Case("runs-search", "runs search load-forecast-eu"),
    Case("runs-search-none", 'runs search load-forecast-eu "metrics.accuracy > 2"'),
    Case("runs-show", "runs show {run}"),
    Case("runs-compare", "runs compare {runs}"),
    Case("models-list", "models list"),
    Case("db-size", "db size"),
    Case("db-stats", "db stats"),
    Case("db-tables", "db tables"),
    Case("db-activity", "db activity"),
    Case("db-indexes", "db indexes show"),
    Case("storage", "storage"),
    Case("latency", "latency"),
    Case("trend", "trend"),
    Case("trend-of-latency", "trend latency"),
    Case("timeline", "timeline"),
)
PLANS = (
    Case("plan-scale", "scale 3"),
    Case("plan-scale-to-0", "scale 0"),
    Case("plan-restart", "restart"),
    Case("plan-update", "update v3.17.9"),
    Case("plan-resources", "resources --memory 1Gi:2Gi"),
    Case("plan-config-set", "config set LOG_LEVEL=DEBUG"),
    Case("plan-backup", "backup all"),
    Case("plan-vacuum", "db vacuum"),
    Case("plan-escalate", "escalate MLflow answers with 502"),
    Case("plan-experiments-delete", "experiments delete load-forecast-eu"),
    Case("plan-logs-archive", "logs archive"),
)
DONE = (
    Case("scale", "scale 3", do=True),
    Case("scale-already-so", "scale 3", do=True),
    Case("restart", "restart", do=True),
    Case("config-set", "config set LOG_LEVEL=DEBUG", do=True),
    Case("experiments-create", "experiments create load-forecast-uk", do=True),
    Case("experiments-create-taken", "experiments create load-forecast-uk", do=True),
    Case("experiments-delete", "experiments delete load-forecast-uk", do=True),
    Case("experiments-restore", "experiments restore load-forecast-uk", do=True),
    Case("runs-tag", "runs tag {run} stage=candidate", do=True),
    Case("runs-untag", "runs untag {run} stage", do=True),
    Case("runs-untag-not-there", "runs untag {run} stage", do=True),
    Case("vacuum", "db vacuum", do=True),
    Case("backup", "backup all", do=True),
    Case("logs-archive", "logs archive", do=True),
    Case("escalate", "escalate MLflow answers with 502", do=True),
    Case("incident-note", "incident note The proxy was restarted", do=True),
    Case("incident-take", "incident take", do=True),
    Case("incident-show", "incident show"),
    Case("incident-close", "incident close The proxy was full", do=True),
)
BACKED_UP = (
    Case("backup-list", "backup list"),
    Case("backup-show", "backup show {set}"),
    Case("backup-usage", "backup usage"),
    Case("backup-verify", "backup verify {set}"),
    Case("backup-prune-nothing-to-remove", "backup prune"),
    Case("plan-restore-database", "restore database latest"),
    Case("restore-artifacts-already-so", "restore artifacts latest"),
    Case("restore-config-plan", "restore config latest"),
    Case("plan-drill", "drill"),
    Case("drill", "drill", do=True),
    Case("restore-database", "restore database latest", do=True),
    Case("restore-undo", "restore undo", do=True),
    Case("jobs", "jobs"),
    # Seals what was done, as no worker does here: how old what has no seal is would be told, after a while.
    Case("audit-export", "audit export", do=True),
    Case("audit", "audit"),
    Case("audit-verify", "audit verify"),
    Case("digest", "digest"),
)
REFUSED = (
    Case("rollback-unknown-revision", "rollback --to 99"),
    Case("restore-unknown-set", "restore database 0a1b2c"),
    Case("experiments-show-unknown", "experiments show nothing-is-called-so"),
    Case("runs-show-unknown", "runs show 0123456789abcdef0123456789abcdef"),
    Case("models-show-unknown", "models show nothing-is-called-so"),
    Case("describe-pod-unknown", "describe pod nothing-is-called-so"),
    Case("db-cancel-unknown", "db cancel 999999"),
    Case("update-same-image", "update nothing:is:called:so"),
    Case("recover-nothing-missing", "recover"),
)
BROKEN = (
    Case("health-without-postgres", "health"),
    Case("db-size-without-postgres", "db size"),
    Case("backup-without-postgres", "backup all"),
    Case("experiments-list-without-postgres", "experiments list"),
    Case("digest-without-postgres", "digest"),
)
MISTYPED = (
    "helth",
    "scale",
    "scale many",
    "scale -1",
    "restore database --at nonsense",
    "restore databse",
    "runs search",
    "backup show a b",
    "trend nothing",
    "logs show --since never",
    "config set LOG_LEVEL",
    "experiments shw",
    "health podz",
    "cancel",
    "runs unarchive nothing-is-called-so",
    "scale 4 --force",
)
"""Usage errors need no world."""
