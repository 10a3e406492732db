"""Settings: the environment and `ops.yaml`, read and validated once, before anything else starts.

Secrets come from the environment only; `ops.yaml` holds what may be read by everybody: channels, roles, names in
the cluster, buckets, thresholds. Every default is the runbook's. A wrong value stops the program with one sentence
that names the key, says what is wrong and what would be right (`SettingsError`; exit code 2 in `bot.cli`).
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    UrlConstraints,
    ValidationError,
    model_validator,
)

from workers import redaction

RoleName = Literal["viewer", "operator", "approver", "admin"]
ROLES: tuple[RoleName, ...] = ("viewer", "operator", "approver", "admin")


class SettingsError(Exception):
    """A setting is wrong or missing; the message is one sentence for the person who starts the program."""


def _time_zone(name: str) -> str:
    if name not in available_timezones():
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        suggestion = f"; did you mean {near[0]}?" if near else ""
        msg = f"{name!r} is not an IANA time zone such as Europe/Berlin{suggestion}"
        raise ValueError(msg)
    return name


Seconds = Annotated[float, Field(gt=0, le=3600)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Days = Annotated[int, Field(ge=0, le=3650)]
ChannelId = Annotated[str, Field(pattern=r"^[CDG][A-Z0-9]{2,}$")]
PersonId = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,}$")]
UserId = Annotated[str, Field(pattern=r"^([UW][A-Z0-9]{2,}|\*)$")]
GroupId = Annotated[str, Field(pattern=r"^S[A-Z0-9]{2,}$")]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
HttpUrl = Annotated[AnyUrl, UrlConstraints(allowed_schemes=["http", "https"])]


def _starting_with(*prefixes: str) -> AfterValidator:
    """A secret is checked by how it begins, so that the message need not show the rest."""

    def check(value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(prefixes):
            msg = f"it must start with {' or '.join(prefixes)}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def _keys(*, several: bool) -> AfterValidator:
    """A key of 32 bytes in base64, or `several` with commas between them."""

    def check(value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        for each in text.split(",") if several else [text]:
            try:
                raw = base64.b64decode(each.strip(), validate=True)
            except binascii.Error:
                raw = b""
            if len(raw) != 32:  # noqa: PLR2004 - AES-256
                msg = "it must be 32 random bytes in base64, as openssl rand -base64 32 prints them"
                raise ValueError(msg)
        return value

    return AfterValidator(check)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(_Section):
    """Who has a role: Slack user ids and user-group ids. `*` among the users of `viewer` means everybody."""

    users: tuple[UserId, ...] = Field((), description="Slack user ids, such as U012AB3CD")
    groups: tuple[GroupId, ...] = Field((), description="Slack user-group ids, such as S012AB3CD")


class Roles(_Section):
    """The four roles; each may do what those before it may."""

    viewer: Role = Role()
    operator: Role = Role()
    approver: Role = Role()
    admin: Role = Role()

    @model_validator(mode="after")
    def _only_viewers_may_be_everybody(self) -> Roles:
        for name in ROLES[1:]:
            if "*" in getattr(self, name).users:
                msg = f"'*' (everybody) is allowed for viewer only, not for {name}; list user or group ids"
                raise ValueError(msg)
        return self


class KubernetesNames(_Section):
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


class Storage(_Section):
    """The buckets."""

    artifacts_bucket: BucketName = "mlflow-artifacts"
    backups_bucket: BucketName = "mlflow-backups"


class Retention(_Section):
    """How many backup sets are kept: the newest of each of the last so many hours, days, weeks and months."""

    hourly: Annotated[int, Field(ge=0, le=10_000)] = 24
    daily: Annotated[int, Field(ge=0, le=10_000)] = 7
    weekly: Annotated[int, Field(ge=0, le=10_000)] = 4
    monthly: Annotated[int, Field(ge=0, le=10_000)] = 6


class Backup(_Section):
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
        60, description="how long the dump waits for a table that somebody else has locked"
    )


class Restore(_Section):
    """How restores are made. approvers: see approvals."""

    database_disk_bytes: Annotated[int, Field(ge=1)] | None = Field(
        None, description="the size of the database server's disk, which PostgreSQL does not tell"
    )
    while_switching: Literal["kept-up", "scaled-to-0"] = Field(
        "kept-up",
        description="MLflow while its database is switched: without sessions for that moment, or without pods",
    )
    keep_aside_days: Days = Field(7, description="how long a database that a restore has put aside is kept")
    rto_seconds: Annotated[int, Field(ge=60)] = Field(1800, description="how long a recovery may take")
    drill_artifacts: Annotated[int, Field(ge=0, le=100_000)] = Field(200, description="artifacts that a drill restores")


class Thresholds(_Section):
    """When a figure becomes a warning or a failure."""

    pod_restarts_warn: Annotated[int, Field(ge=1)] = Field(3, description="restarts within the last day")
    resource_warn: Fraction = Field(0.8, description="share of a CPU or memory limit in use")
    resource_fail: Fraction = Field(0.95, description="share of a memory limit in use")
    certificate_warn_days: Days = Field(21, description="days until the certificate ends")
    certificate_fail_days: Days = Field(7, description="days until the certificate ends")
    connections_warn: Fraction = Field(0.8, description="share of PostgreSQL's max_connections in use")
    connections_fail: Fraction = Field(0.95, description="share of PostgreSQL's max_connections in use")
    query_warn_seconds: Seconds = Field(300, description="age of the longest running query")
    postgres_latency_warn_seconds: Seconds = Field(0.5, description="one round trip")
    storage_latency_warn_seconds: Seconds = Field(1.0, description="one HeadBucket")
    tracking_p95_warn_seconds: Seconds = Field(1.0, description="p95 of a short burst against MLflow")
    errors_warn: Annotated[int, Field(ge=1)] = Field(1, description="error lines in the window")
    errors_fail: Annotated[int, Field(ge=1)] = Field(100, description="error lines in the window")
    queue_age_warn_seconds: Seconds = Field(60, description="age of the oldest waiting job")
    backup_age_fail_seconds: Annotated[int, Field(gt=0)] = Field(3600, description="the runbook's RPO: one hour")

    @model_validator(mode="after")
    def _warn_comes_before_fail(self) -> Thresholds:
        pairs = (
            ("resource", self.resource_warn, self.resource_fail),
            ("connections", self.connections_warn, self.connections_fail),
            ("errors", self.errors_warn, self.errors_fail),
        )
        for name, warn, fail in pairs:
            if warn > fail:
                msg = f"{name}_warn ({warn}) must not be above {name}_fail ({fail})"
                raise ValueError(msg)
        if self.certificate_warn_days < self.certificate_fail_days:
            msg = "certificate_warn_days must not be below certificate_fail_days"
            raise ValueError(msg)
        return self


class Health(_Section):
    """How the health check asks and judges."""

    deadline_seconds: Annotated[float, Field(gt=0, le=30)] = Field(5.0, description="for each check")
    log_window_seconds: Annotated[int, Field(ge=60, le=86400)] = Field(3600, description="how far back errors count")
    log_tail_lines: Annotated[int, Field(ge=10, le=100_000)] = Field(2000, description="lines read per container")
    burst_requests: Annotated[int, Field(ge=5, le=200)] = Field(20, description="requests in the latency burst")
    burst_seconds: Annotated[float, Field(gt=0, le=10)] = Field(
        0.025, description="after which the latency burst asks no more, however few requests that were"
    )
    thresholds: Thresholds = Thresholds()


class Latency(_Section):
    """What `latency` may ask of MLflow: it measures, and is no load test."""

    requests_at_most: Annotated[int, Field(ge=1, le=10_000)] = Field(1000, description="in one measurement")
    concurrency_at_most: Annotated[int, Field(ge=1, le=50)] = Field(20, description="requests at the same time")
    seconds_at_most: Annotated[float, Field(gt=0, le=300)] = Field(60, description="after which it asks no more")


class Slack(_Section):
    """How fast Slack may be told (https://docs.slack.dev/apis/web-api/rate-limits): over all bots together."""

    posts_per_second: Annotated[float, Field(gt=0, le=1000)] = Field(1.0, description="in one channel")
    updates_per_minute: Annotated[float, Field(gt=0, le=100_000)] = Field(50, description="chat.update is of tier 3")
    edits_per_second: Annotated[float, Field(gt=0, le=10)] = Field(1.0, description="of one message")


class Approval(_Section):
    """Whose approval an operation needs."""

    approvers: Annotated[int, Field(ge=0, le=5)] = Field(1, description="how many people must approve; 0: nobody")
    role: RoleName = Field("approver", description="the role that they must have")
    expires_minutes: Annotated[float, Field(gt=0, le=10_080)] = Field(30, description="after which nobody may")
    channel: ChannelId | None = Field(None, description="the only channel where it may be asked for and approved")


class Scaling(_Section):
    """What an operator may do alone."""

    free_up_to: Annotated[int, Field(ge=1, le=1000)] = Field(6, description="replicas; more, and 0, need approval")


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        msg = f"must be a regular expression ({error})"
        raise ValueError(msg) from None
    return value


class ConfigurationKey(_Section):
    """What one key of MLflow's ConfigMap may hold. All that is given must hold."""

    type: Literal["text", "integer", "number", "boolean"] = Field("text", description="boolean: true or false")
    pattern: Annotated[str, AfterValidator(_regular_expression)] | None = Field(
        None, description="a regular expression for the whole value"
    )
    choices: tuple[str, ...] = Field((), description="the only values that are allowed; empty: any")
    description: str = ""


class Configuration(_Section):
    """What `config set` and `config unset` may change."""

    keys: dict[str, ConfigurationKey] = Field({}, description="by name; empty: every key is allowed")


def _cron(value: str) -> str:
    from croniter import croniter

    if len(value.split()) != 5 or not croniter.is_valid(value):  # noqa: PLR2004 - minute hour day month weekday
        msg = "must be a cron expression of five fields, such as '0 8 * * 1-5'"
        raise ValueError(msg)
    return value


class Window(_Section):
    """When maintenance is planned for."""

    cron: Annotated[str, AfterValidator(_cron)] = Field(description="when it opens: minute hour day month weekday")
    minutes: Annotated[int, Field(ge=1, le=7 * 1440)] = Field(120, description="how long it stays open")


class MaintenanceWindows(_Section):
    """Windows by the clock of `time_zone`, and what they mean for commands that need approval."""

    windows: tuple[Window, ...] = ()
    approvers_inside: Annotated[int, Field(ge=0, le=5)] | None = Field(
        None, description="how many people must approve within a window; as everywhere where it is not set"
    )
    outside: Literal["allow", "refuse"] = Field("allow", description="of what needs approval, outside of the windows")

    @model_validator(mode="after")
    def _refusing_needs_windows(self) -> MaintenanceWindows:
        if self.outside == "refuse" and not self.windows:
            msg = "outside: refuse without any window would refuse everything for ever; name windows"
            raise ValueError(msg)
        return self


class ScheduleEntry(_Section):
    """A command that runs by the clock of `time_zone`."""

    cron: Annotated[str, AfterValidator(_cron)] = Field(description="minute hour day month weekday")
    command: str = Field(description="as it would be typed after /mlflow")
    channel: ChannelId | None = Field(None, description="where it is told; by default the first of channels")
    quiet: bool = Field(default=False, description="say nothing where all is well")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(0, description="how often it is tried again where it failed")
    retry_minutes: Annotated[float, Field(gt=0, le=1440)] = Field(5, description="how long after it failed")
    channels: tuple[ChannelId, ...] = Field((), description="where it is told instead, each time anew; for reads only")
    holidays: tuple[date, ...] = Field((), description="days of `time_zone` on which it is left out")


HOURLY_BACKUP = ScheduleEntry(cron="0 * * * *", command="backup", quiet=True, retries=2)
"""The runbook's recovery point is under an hour."""
WEEKLY_DRILL = ScheduleEntry(cron="0 4 * * 0", command="drill", quiet=True)
"""A backup that was never restored is a hope."""
HOURLY_FIGURES = ScheduleEntry(cron="20 * * * *", command="health", quiet=True)
"""What trends and the morning's picture are drawn from."""

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Digest(_Section):
    """When and where the morning's digest comes."""

    at: ClockTime = Field("08:00", description="by the clock of time_zone")
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = ("mon", "tue", "wed", "thu", "fri")
    holidays: tuple[date, ...] = Field((), description="days without one, such as 2026-12-25")
    channels: tuple[ChannelId, ...] = Field((), description="by default the first of channels")

    @property
    def entry(self) -> ScheduleEntry:
        """As the clock runs it."""
        hour, minute = self.at.split(":")
        return ScheduleEntry(
            cron=f"{int(minute)} {int(hour)} * * {','.join(self.weekdays)}",
            command="digest",
            channels=self.channels,
            holidays=self.holidays,
        )


CheckName = Annotated[str, Field(pattern=r"^[a-z]+$")]


class Alerts(_Section):
    """How what Alertmanager reports is told."""

    channels: tuple[ChannelId, ...] = Field(
        (), description="where; by default the first of channels. Buttons work in those of `channels` only"
    )
    checks: dict[str, tuple[CheckName, ...]] = Field(
        {},
        description="by an alert's name: the health checks that its thread begins with (empty: none); by default "
        "those of its annotation `command`, else what its name speaks of",
    )
    storm_above: Annotated[int, Field(ge=1, le=100)] = Field(
        5, description="new groups within five minutes that get a message each; what comes beyond them shares one"
    )


class Called(_Section):
    """Whom `escalate` calls: Slack user ids and user-group ids."""

    users: tuple[PersonId, ...] = Field((), description="Slack user ids, such as U012AB3CD")
    groups: tuple[GroupId, ...] = Field((), description="Slack user-group ids, such as S012AB3CD")

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them, groups first."""
        return (*self.groups, *self.users)


class Escalation(_Section):
    """Who is on call: the team in business hours of time_zone, else DevOps; where one is empty, the other."""

    team: Called = Called()
    devops: Called = Called()
    begins: ClockTime = Field("09:00", description="when business hours begin")
    ends: ClockTime = Field("17:00", description="when they end")
    weekdays: tuple[Weekday, ...] | None = Field(None, description="of business hours; by default the digest's")
    holidays: tuple[date, ...] | None = Field(None, description="days without them; by default the digest's")
    role: RoleName = Field("viewer", description="the role that somebody needs to escalate")

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Escalation:
        if self.begins >= self.ends:
            msg = f"business hours must begin before they end, on one day, not at {self.begins} and {self.ends}"
            raise ValueError(msg)
        return self


def _amount(value: object) -> object:
    """1.5, 50Gi and 2Ti alike."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|Pi)", value) if isinstance(value, str) else None
    return float(found[1]) * 1024 ** (1 + "KMGTP".index(found[2][0])) if found else value


Amount = Annotated[float, Field(gt=0), BeforeValidator(_amount)]


class Ops(_Section):
    """`ops.yaml`."""

    channels: tuple[ChannelId, ...] = Field((), description="where /mlflow may be used; empty: nowhere")
    roles: Roles = Roles()
    kubernetes: KubernetesNames = KubernetesNames()
    storage: Storage = Storage()
    health: Health = Health()
    latency: Latency = Latency()
    slack: Slack = Slack()
    scaling: Scaling = Scaling()
    configuration: Configuration = Configuration()
    backup: Backup = Backup()
    restore: Restore = Restore()
    approvals: dict[str, Approval] = Field({}, description="by the operation's name: scale, restart, …")
    schedule: dict[str, ScheduleEntry | None] = Field(
        {},
        description="by name; beside these there are `backup` and `figures` (a silent health check), every hour, "
        "`drill`, every week, and `digest`, unless they are given here, or are null",
    )
    digest: Digest = Digest()
    alerts: Alerts = Alerts()
    escalation: Escalation = Escalation()
    limits: dict[str, Amount] = Field(
        {}, description="by a metric's name, as `trend` takes it: where it must not go (database: 50Gi)"
    )
    maintenance: MaintenanceWindows = MaintenanceWindows()
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"

    @property
    def clock(self) -> dict[str, ScheduleEntry]:
        """What runs by the clock: the schedule, and what runs by default (where there is a channel to tell of it)."""
        by_default: dict[str, ScheduleEntry] = {}
        if self.channels:
            by_default = {
                "backup": HOURLY_BACKUP,
                "figures": HOURLY_FIGURES,
                "digest": self.digest.entry,
                "drill": WEEKLY_DRILL,
            }
        return {name: entry for name, entry in (by_default | self.schedule).items() if entry is not None}

    @property
    def zone(self) -> ZoneInfo:
        """The team's time zone."""
        return ZoneInfo(self.time_zone)


class Environment(BaseModel):
    """The variables that are read. Standard names where they exist."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    slack_bot_token: Annotated[SecretStr, _starting_with("xoxb-")] | None = Field(None, alias="SLACK_BOT_TOKEN")
    slack_app_token: Annotated[SecretStr, _starting_with("xapp-")] | None = Field(None, alias="SLACK_APP_TOKEN")
    slack_signing_secret: SecretStr | None = Field(None, alias="SLACK_SIGNING_SECRET")
    slack_api_url: HttpUrl = Field(HttpUrl("https://slack.com/api/"), alias="SLACK_API_URL")
    redis_url: Annotated[SecretStr, _starting_with("redis://", "rediss://", "unix://")] | None = Field(
        None, alias="REDIS_URL"
    )
    kubeconfig: str | None = Field(None, alias="KUBECONFIG")
    mlflow_tracking_uri: HttpUrl | None = Field(None, alias="MLFLOW_TRACKING_URI")
    mlflow_tracking_username: str | None = Field(None, alias="MLFLOW_TRACKING_USERNAME")
    mlflow_tracking_password: SecretStr | None = Field(None, alias="MLFLOW_TRACKING_PASSWORD")
    s3_endpoint_url: HttpUrl | None = Field(None, alias="AWS_ENDPOINT_URL_S3")
    backup_s3_endpoint_url: HttpUrl | None = Field(
        None,
        alias="MLFLOW_OPS_BACKUP_S3_ENDPOINT_URL",
        description="another store, or region, for the backups; else they are where the artifacts are",
    )
    backup_s3_region: str | None = Field(
        None, alias="MLFLOW_OPS_BACKUP_S3_REGION", description="the region of that store; else AWS_DEFAULT_REGION"
    )
    backup_s3_access_key_id: str | None = Field(
        None, alias="MLFLOW_OPS_BACKUP_S3_ACCESS_KEY_ID", description="for that store; else the AWS_* ones"
    )
    backup_s3_secret_access_key: SecretStr | None = Field(
        None, alias="MLFLOW_OPS_BACKUP_S3_SECRET_ACCESS_KEY", description="the secret of that key"
    )
    database_url: Annotated[SecretStr, _starting_with("postgresql://", "postgres://")] | None = Field(
        None, alias="MLFLOW_OPS_DATABASE_URL"
    )
    database_admin_url: Annotated[SecretStr, _starting_with("postgresql://", "postgres://")] | None = Field(
        None, alias="MLFLOW_OPS_DATABASE_ADMIN_URL"
    )
    auth_database_url: Annotated[SecretStr, _starting_with("postgresql://", "postgres://")] | None = Field(
        None, alias="MLFLOW_OPS_AUTH_DATABASE_URL", description="basic-auth's own database, where it has one"
    )
    postgres_bin: Path | None = Field(
        None, alias="MLFLOW_OPS_POSTGRES_BIN", description="the folder of pg_dump and pg_restore; else PATH"
    )
    backup_key: Annotated[SecretStr, _keys(several=False)] | None = Field(None, alias="MLFLOW_OPS_BACKUP_KEY")
    backup_keys_old: Annotated[SecretStr, _keys(several=True)] | None = Field(
        None, alias="MLFLOW_OPS_BACKUP_KEYS_OLD", description="only to read with, commas between them"
    )
    alerts_secret: SecretStr | None = Field(
        None, alias="MLFLOW_OPS_ALERTS_SECRET", min_length=16, description="what Alertmanager shows to the bot"
    )
    alertmanager_url: Annotated[SecretStr, _starting_with("http://", "https://")] | None = Field(
        None,
        alias="MLFLOW_OPS_ALERTMANAGER_URL",
        description="Alertmanager's address, for the workers; with user:password@ where it asks for one",
    )
    pagerduty_key: SecretStr | None = Field(
        None,
        alias="MLFLOW_OPS_PAGERDUTY_KEY",
        description="the integration key of a service in PagerDuty (Events API v2)",
    )
    pagerduty_url: HttpUrl = Field(
        HttpUrl("https://events.pagerduty.com/v2/enqueue"),
        alias="MLFLOW_OPS_PAGERDUTY_URL",
        description="its Events API; in the EU https://events.eu.pagerduty.com/v2/enqueue",
    )
    ready_file: Path | None = Field(
        None, alias="MLFLOW_OPS_READY_FILE", description="written once the process can serve; removed at its end"
    )
    grace_seconds: Annotated[float, Field(ge=0)] = Field(
        20.0,
        alias="MLFLOW_OPS_GRACE_SECONDS",
        description="how long what a worker runs may take to end after SIGTERM, before it is stopped at a safe point; "
        "half a minute less than what comes before SIGKILL",
    )

    def require(self, *fields: str) -> None:
        """Raises SettingsError, naming the variable, for the first of `fields` that is not set."""
        for field in fields:
            if getattr(self, field) is None:
                alias = type(self).model_fields[field].alias
                msg = f"{alias} is not set: it must hold {_MEANING[field]}."
                raise SettingsError(msg)


_MEANING = {
    "slack_bot_token": "the Slack app's bot token (xoxb-…)",
    "slack_app_token": "the Slack app's app-level token with connections:write (xapp-…)",
    "slack_signing_secret": "the Slack app's signing secret",
    "redis_url": "the address of Redis, such as redis://:password@host:6379/0",
    "mlflow_tracking_uri": "the address of MLflow, such as http://mlflow.data-platform.svc.cluster.local:5000",
    "database_url": "the address of MLflow's database, such as postgresql://user:password@host:5432/mlflow",
    "auth_database_url": "the address of basic-auth's database, such as postgresql://user:password@host:5432/auth",
    "backup_key": "32 random bytes in base64, as openssl rand -base64 32 prints them",
    "alerts_secret": "what Alertmanager shows to be let in, such as openssl rand -hex 32 prints",
    "alertmanager_url": "the address of Alertmanager, such as http://alertmanager.monitoring.svc.cluster.local:9093",
    "database_admin_url": "the address of its server for a role with CREATEDB, such as postgresql://admin:password@host/postgres",
}


class Settings(BaseModel):
    """Everything that a process was told: `environment` and `ops`."""

    model_config = ConfigDict(frozen=True)

    environment: Environment
    ops: Ops


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment and the `ops.yaml` that MLFLOW_OPS_CONFIG names (all defaults where it is not set).

    Raises SettingsError with one sentence about the first thing that is wrong.
    """
    present = {key: value for key, value in environ.items() if value}
    redaction.remember(_secrets(present))
    try:
        environment = Environment.model_validate(present)
    except ValidationError as error:
        raise SettingsError(_sentence(error, where="", model=Environment)) from None
    return Settings(environment=environment, ops=_read_ops(present.get("MLFLOW_OPS_CONFIG")))


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    """What the environment holds that nobody may read: by the variable's name, or as a password in an address."""
    for name, value in environ.items():
        if name.endswith(("_TOKEN", "_PASSWORD", "_SECRET", "_KEY")):
            yield value
        if name == "MLFLOW_OPS_BACKUP_KEYS_OLD":
            yield from (each.strip() for each in value.split(","))
        with suppress(ValueError):
            password = urlsplit(value).password if "://" in value else None
            if password:
                yield password
                yield unquote(password)


def _read_ops(path: str | None) -> Ops:
    if path is None:
        return Ops()
    try:
        document: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"MLFLOW_OPS_CONFIG names {path}, which cannot be read ({error.strerror}): give the path of an ops.yaml."
        raise SettingsError(msg) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        msg = f"{path} is not valid YAML{line}: {getattr(error, 'problem', None) or 'it is not UTF-8 text'}."
        raise SettingsError(msg) from None
    if document is None:
        return Ops()
    if not isinstance(document, dict):
        msg = f"{path} must hold keys such as 'channels:' at its top, not a {type(document).__name__}."
        raise SettingsError(msg)
    try:
        return Ops.model_validate(document)
    except ValidationError as error:
        raise SettingsError(_sentence(error, where=f"{path}: ", model=Ops)) from None


def _sentence(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        known = _keys_at(model, first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        right = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}."
        return f"{where}{key} is not a setting; {right}"
    problem = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    shown = "" if isinstance(value, dict | BaseModel) or model is Environment else f" (it is {value!r})"
    return f"{where}{key} is wrong{shown}: {problem[0].lower()}{problem[1:]}."


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
