"""`ops.yaml`: what may be read by everybody. Every default is the runbook's."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from workers.settings.gitops import Gitops, GitopsMode
from workers.settings.links import Links
from workers.settings.people import Approval, Escalation, Roles, Scaling
from workers.settings.recovery import Peek, Recovery
from workers.settings.schedule import (
    BACKUP,
    DAILY_BASE,
    HOURLY_AUDIT,
    HOURLY_FIGURES,
    WEEKLY_DRILL,
    WEEKLY_MOMENT,
    Digest,
    MaintenanceWindows,
    ScheduleEntry,
)
from workers.settings.thresholds import Health, Latency
from workers.settings.values import (
    Amount,
    BucketName,
    ChannelId,
    CheckName,
    Days,
    HttpUrl,
    KubernetesName,
    RegularExpression,
    Section,
    TimeZone,
)


class KubernetesNames(Section):
    """The names that MLflow's objects bear in the cluster."""

    namespace: KubernetesName = "data-platform"
    deployment: KubernetesName = "mlflow"
    container: KubernetesName = "mlflow"
    service: KubernetesName = "mlflow"
    ingress: KubernetesName = "mlflow-ingress"
    configmap: KubernetesName = "mlflow-config"
    secret: KubernetesName = "mlflow-backend-secret"  # noqa: S105 - a name, not a secret
    tls_secret: KubernetesName = "mlflow-tls"  # noqa: S105 - a name, not a secret
    selector: str = Field("app=mlflow", description="label selector of MLflow's pods")
    backend_store_variable: str = Field(
        "MLFLOW_BACKEND_STORE_URI", description="the container's variable that holds the database's address"
    )
    postgres_selector: str = Field("app=postgres", description="label selector of PostgreSQL's pods")
    storage_selector: str = Field("app=minio", description="label selector of the object store's pods")
    gitops: GitopsMode = Field(
        "warn",
        description="a change of what Helm, Argo CD or Flux manages: warned of and done, refused, or proposed in Git "
        "as a pull request (see gitops). A restart and a renewal change nothing that Git holds: they are done",
    )


class Storage(Section):
    """The buckets."""

    artifacts_bucket: BucketName = "mlflow-artifacts"
    backups_bucket: BucketName = "mlflow-backups"


class Retention(Section):
    """How many backup sets are kept: the newest of each of the last so many hours, days, weeks and months."""

    hourly: Annotated[int, Field(ge=0, le=10_000)] = 24
    daily: Annotated[int, Field(ge=0, le=10_000)] = 7
    weekly: Annotated[int, Field(ge=0, le=10_000)] = 4
    monthly: Annotated[int, Field(ge=0, le=10_000)] = 6


class BackupLock(Section):
    """Object Lock on what a backup writes."""

    mode: Literal["governance", "compliance"] = Field(
        "governance", description="governance: some may lift it (s3:BypassGovernanceRetention); compliance: nobody can"
    )
    days: Annotated[int, Field(ge=1, le=3650)] = Field(
        30, description="from the beginning of a set; bytes that many sets use are locked for a quarter longer"
    )


class CopyTo(Section):
    """A second place for each set."""

    bucket: BucketName
    endpoint_url: HttpUrl | None = Field(None, description="the address of its store; by default Amazon's")
    region: str = Field("", description="of the bucket; by default AWS_DEFAULT_REGION")


class Backup(Section):
    """How backups are made and kept. Where they go is storage.backups_bucket."""

    retention: Retention = Retention()
    compression: Annotated[str, Field(pattern=r"^(none|gzip|lz4|zstd)(:[0-9]{1,2})?$")] = Field(
        "zstd:1", description="pg_dump's --compress; where it was built without, the quickest that it knows"
    )
    split_above: Annotated[int, Field(ge=1)] = Field(
        200_000, description="artifacts above which several workers copy them together"
    )
    helpers: Annotated[int, Field(ge=0, le=64)] = Field(3, description="how many workers may help the one that began")
    lock_wait_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        60, description="how long the dump waits for a table that someone else has locked"
    )
    dump_jobs: Annotated[int, Field(ge=1, le=32)] | None = Field(
        None,
        description="how many streams of pg_dump dump a database side by side, its largest tables apart; each is a "
        "session and takes a core of the server. By default one for each 256 MiB of the database, 4 at most",
    )
    encrypt: Literal["all", "config", "none"] = Field(
        "all",
        description="what of a set is encrypted where there is a key: all of it, the configuration only (the store "
        "copies artifacts itself then, as they are), or nothing (the configuration has no Secrets then)",
    )
    kms_key_id: str = Field(
        "",
        description="a key of AWS KMS (id, ARN or alias/…) whose data keys encrypt and sign in place of "
        "MLFLOW_OPS_BACKUP_KEY, which reads older sets then",
    )
    kms_keys_old: tuple[str, ...] = Field((), description="keys of KMS that only read")
    copies: Annotated[tuple[CopyTo, ...], Field(max_length=3)] = Field(
        (), description="where each set is copied to once it is made, such as another region"
    )
    lock: BackupLock | None = Field(
        None, description="Object Lock on each object of a set; the bucket must have been made with it"
    )
    shrink_warn: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="the share of a table's rows, or of all artifacts, whose loss since the last set is told"
    )


class Restore(Section):
    """How restores are made. approvers: see approvals."""

    database_disk_bytes: Annotated[int, Field(ge=1)] | None = Field(
        None, description="the size of the database server's disk, which PostgreSQL does not tell"
    )
    while_switching: Literal["kept-up", "scaled-to-0"] = Field(
        "kept-up",
        description="MLflow while its database is switched: without sessions for that moment, or without pods",
    )
    switch_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        60, description="how long a switch waits for sessions that our role may not end; what was restored is kept"
    )
    keep_aside_days: Days = Field(7, description="how long a database that a restore has put aside is kept")
    rto_seconds: Annotated[int, Field(ge=60)] = Field(1800, description="how long a recovery may take")
    drill_artifacts: Annotated[int, Field(ge=0, le=100_000)] = Field(200, description="artifacts that a drill restores")


class Slack(Section):
    """How fast Slack may be told (https://docs.slack.dev/apis/web-api/rate-limits): over all bots together."""

    posts_per_second: Annotated[float, Field(gt=0, le=1000)] = Field(1.0, description="in one channel")
    updates_per_minute: Annotated[float, Field(gt=0, le=100_000)] = Field(50, description="chat.update is of tier 3")
    edits_per_second: Annotated[float, Field(gt=0, le=10)] = Field(1.0, description="of one message")


class ConfigurationKey(Section):
    """What one key of MLflow's ConfigMap may hold. All that is given must hold."""

    type: Literal["text", "integer", "number", "boolean"] = Field("text", description="boolean: true or false")
    pattern: RegularExpression | None = Field(None, description="a regular expression for the whole value")
    choices: tuple[str, ...] = Field((), description="the only values that are allowed; empty: any")
    description: str = ""


class Configuration(Section):
    """What `config set` and `config unset` may change."""

    keys: dict[str, ConfigurationKey] = Field({}, description="by name; empty: every key is allowed")


class Alerts(Section):
    """How what Alertmanager reports is told."""

    channels: tuple[ChannelId, ...] = Field(
        (), description="where; by default the first of channels. Buttons work in those of `channels` only"
    )
    checks: dict[str, tuple[CheckName, ...]] = Field(
        {},
        description="by an alert's name: the health checks that its thread begins with (empty: none); by default "
        "those of its annotation `command`, else what its name speaks of",
    )
    unheard_hours: Annotated[float, Field(gt=0, le=100)] = Field(
        12,
        description="after which the message of what fires says that Alertmanager tells nothing more of it; longer "
        "than its repeat_interval",
    )
    storm_above: Annotated[int, Field(ge=1, le=100)] = Field(
        5, description="new groups within five minutes that get a message each; what comes beyond them shares one"
    )


class AuditRecord(Section):
    """How long the audit record stays in Redis, and where else it is told."""

    keep_days: Annotated[int, Field(ge=2, le=3650)] = Field(
        90,
        description="how long an entry stays in Redis, once it is exported; at most the latest 100,000 do. What is "
        "older is read from the export",
    )
    export: Literal["s3", "stdout"] = Field(
        "s3",
        description="s3: JSON lines in storage.backups_bucket, below audit/. stdout: also on the standard output of "
        "the worker that seals an entry, a line each, for what collects logs",
    )


DEFAULT_ENTRIES: Final = ("backup", "figures", "digest", "drill", "audit")
"""What runs by the clock unless ops.yaml says otherwise."""


PER_PERSON: Final = "per_person"
PER_PERSON_BY_DEFAULT: Final = 10


class Ops(Section):
    """`ops.yaml`."""

    channels: tuple[ChannelId, ...] = Field((), description="where /mlflow may be used; empty: nowhere")
    roles: Roles = Roles()
    kubernetes: KubernetesNames = KubernetesNames()
    gitops: Gitops = Gitops()
    storage: Storage = Storage()
    health: Health = Health()
    latency: Latency = Latency()
    slack: Slack = Slack()
    scaling: Scaling = Scaling()
    configuration: Configuration = Configuration()
    backup: Backup = Backup()
    restore: Restore = Restore()
    recovery: Recovery = Recovery()
    peek: Peek = Peek()
    approvals: dict[str, Approval] = Field(
        {},
        description="by the operation's name (scale, restore-database), or by a chapter's (restore) for all of its "
        "operations that change something",
    )
    schedule: dict[str, ScheduleEntry | None] = Field(
        {},
        description="by name; beside these there are `backup`, every half an hour, `figures` (a silent health check), "
        "every hour, `audit` (an export of the record), every hour, `drill`, every week, `digest` and, with "
        "recovery.point_in_time, `base`, every day, and `moment` (a drill), every week, unless they are given here, or "
        "are null",
    )
    digest: Digest = Digest()
    alerts: Alerts = Alerts()
    escalation: Escalation = Escalation()
    audit: AuditRecord = AuditRecord()
    limits: dict[str, Amount] = Field(
        {},
        description="by a metric's name, as `trend` takes it: where it must not go (database: 50Gi); `per_person`: how "
        "many commands one person may have under way, 10 unless it says otherwise",
    )
    links: Links = Links()
    maintenance: MaintenanceWindows = MaintenanceWindows()
    time_zone: TimeZone = "UTC"

    @model_validator(mode="after")
    def _knows_where_to_propose(self) -> Ops:
        if self.kubernetes.gitops == "propose" and self.gitops.repository is None:
            msg = "kubernetes.gitops is propose, so gitops.repository must name a repository, such as platform/apps"
            raise ValueError(msg)
        return self

    @property
    def clock(self) -> dict[str, ScheduleEntry]:
        """What runs by the clock: the schedule, and what runs by default (where there is a channel to tell of it)."""
        by_default: dict[str, ScheduleEntry] = {}
        if self.channels:
            entries = (BACKUP, HOURLY_FIGURES, self.digest.entry, WEEKLY_DRILL, HOURLY_AUDIT)
            by_default = dict(zip(DEFAULT_ENTRIES, entries, strict=True))
            if self.recovery.keeps_wal:
                by_default |= {"base": DAILY_BASE}
            if self.recovery.point_in_time and self.recovery.source in {"own", "cnpg"}:
                by_default |= {"moment": WEEKLY_MOMENT}
        return {name: entry for name, entry in (by_default | self.schedule).items() if entry is not None}

    @property
    def per_person(self) -> int:
        """How many commands one person may have under way."""
        return int(self.limits.get(PER_PERSON, PER_PERSON_BY_DEFAULT))

    @property
    def zone(self) -> ZoneInfo:
        """The team's time zone."""
        return ZoneInfo(self.time_zone)
