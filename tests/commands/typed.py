"""What people type, and what it must mean: shared by the tests of the grammar and of the way through Slack's page.

words.tsv holds what Slack delivers. `TYPED` says what a person types for it where that is something else: a local Slack
escapes what is typed, as Slack does.
"""

import json
from pathlib import Path

from workers.operations.audit.trail import Audit
from workers.operations.backup.show import BackupList
from workers.operations.commands.maintenance import StartMaintenance
from workers.operations.configuration.edit import ConfigSet
from workers.operations.deployment.history import History
from workers.operations.experiments.edit import ExperimentCreate
from workers.operations.experiments.show import ExperimentShow
from workers.operations.health import Health
from workers.operations.incident.escalate import Escalate
from workers.operations.incident.incident import NoteIncident
from workers.operations.runs.show import RunsSearch
from workers.operations.runs.tags import RunTag

ENDPOINT = "MLFLOW_S3_ENDPOINT_URL"
MEANT = {
    "escalate MLflow doesn't answer": Escalate(what="MLflow doesn't answer"),
    "escalate can't log in, won't start": Escalate(what="can't log in, won't start"),
    "escalate path is C:\\temp\\x": Escalate(what="path is C:\\temp\\x"),
    "incident note it's the load balancer": NoteIncident(text="it's the load balancer"),
    "maintenance start we're upgrading --for 2h": StartMaintenance(reason="we're upgrading", seconds=7200),
    "runs tag 4f2c note=don't": RunTag(run_id="4f2c", tags={"note": "don't"}),
    f"config set {ENDPOINT}=<http://minio.data-platform:9000>": ConfigSet(
        pairs={ENDPOINT: "http://minio.data-platform:9000"}
    ),
    f"config set {ENDPOINT}=<http://minio.example.com|minio.example.com>": ConfigSet(
        pairs={ENDPOINT: "http://minio.example.com"}
    ),
    "runs tag 4f2c ticket=<https://jira.example.com/OPS-1|OPS-1>": RunTag(
        run_id="4f2c", tags={"ticket": "https://jira.example.com/OPS-1"}
    ),
    "experiments create a&amp;b": ExperimentCreate(experiment="a&b"),
    'runs search churn "metrics.auc &gt; 0.1"': RunsSearch(experiment="churn", filter="metrics.auc > 0.1"),
    "runs search churn metrics.auc < 0.5": RunsSearch(experiment="churn", filter="metrics.auc < 0.5"),
    "health postgres, storage": Health(checks=("postgres", "storage")),
    "HEALTH": Health(),
    "Health Postgres": Health(checks=("postgres",)),
    "/mlflow health": Health(),
    "`health`": Health(),
    "health help": "Usage: /mlflow health",
    "?": "Usage: /mlflow COMMAND",
    "health\u202fpostgres": Health(checks=("postgres",)),
    "backup list \u2014\u2014limit 5": BackupList(limit=5),
    "backup list \u2014-limit 5": BackupList(limit=5),
    "backup list \u2212\u2212limit 5": BackupList(limit=5),
    "experiments create \u00abmy exp\u00bb": ExperimentCreate(experiment="my exp"),
    "runs search churn \"tags.note = 'a \u2013b'\"": RunsSearch(experiment="churn", filter="tags.note = 'a \u2013b'"),
    "experiments show o\u2019brien": ExperimentShow(experiment="o\u2019brien"),
    "audit --by <@U0123ABC|anna>": Audit(by="U0123ABC"),
    "rollout history": History(),
}
"""By what is delivered: the operation, or how the help begins."""

TYPED = {
    f"config set {ENDPOINT}=<http://minio.data-platform:9000>": f"config set {ENDPOINT}=http://minio.data-platform:9000",
    f"config set {ENDPOINT}=<http://minio.example.com|minio.example.com>": f"config set {ENDPOINT}=minio.example.com",
    "runs tag 4f2c ticket=<https://jira.example.com/OPS-1|OPS-1>": "runs tag 4f2c ticket=https://jira.example.com/OPS-1",
    "experiments create a&amp;b": "experiments create a&b",
    'runs search churn "metrics.auc &gt; 0.1"': 'runs search churn "metrics.auc > 0.1"',
    "audit --by <@U0123ABC|anna>": "audit --by @anna",
}
"""By what is delivered: what a person types for it, who knows nothing of Slack's escapes."""


def cases():
    """Every text of words.tsv."""
    lines = (Path(__file__).parent / "words.tsv").read_text("utf-8").splitlines()
    return [json.loads(line.partition("\t")[0]) for line in lines if not line.startswith("#")]
