"""The variables that a process reads, secrets among them: they come from here only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from workers.settings.values import HttpUrl, TargetName, keys, starting_with

REDIS: Final = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class SettingsError(Exception):
    """A setting is wrong or missing; the message is one sentence for the person who starts the program."""


class Environment(BaseModel):
    """The variables that are read. Standard names where they exist."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    slack_bot_token: Annotated[SecretStr, starting_with("xoxb-")] | None = Field(
        None, alias="SLACK_BOT_TOKEN", description="the Slack app's bot token (xoxb-…)"
    )
    slack_app_token: Annotated[SecretStr, starting_with("xapp-")] | None = Field(
        None, alias="SLACK_APP_TOKEN", description="the Slack app's app-level token with connections:write (xapp-…)"
    )
    slack_signing_secret: SecretStr | None = Field(
        None, alias="SLACK_SIGNING_SECRET", description="the Slack app's signing secret"
    )
    slack_api_url: HttpUrl = Field(
        HttpUrl("https://slack.com/api/"),
        alias="SLACK_API_URL",
        description="another address of Slack's Web API, for a local one",
    )
    redis_url: Annotated[SecretStr, starting_with(*REDIS)] | None = Field(
        None,
        alias="REDIS_URL",
        description="the address of Redis, such as redis://:password@host:6379/0; of sentinels "
        "redis+sentinel://:password@host:26379,host2:26379/name/0",
    )
    kubeconfig: str | None = Field(
        None, alias="KUBECONFIG", description="the path of a kubeconfig; else the pod's own service account"
    )
    mlflow_tracking_uri: HttpUrl | None = Field(
        None,
        alias="MLFLOW_TRACKING_URI",
        description="the address of MLflow, such as http://mlflow.data-platform.svc.cluster.local:5000",
    )
    mlflow_tracking_username: str | None = Field(
        None, alias="MLFLOW_TRACKING_USERNAME", description="for an MLflow with basic authentication"
    )
    mlflow_tracking_password: SecretStr | None = Field(
        None, alias="MLFLOW_TRACKING_PASSWORD", description="for an MLflow with basic authentication"
    )
    mlflow_tracking_token: SecretStr | None = Field(
        None, alias="MLFLOW_TRACKING_TOKEN", description="for a proxy before MLflow that asks for a bearer token"
    )
    mlflow_tracking_server_cert_path: Path | None = Field(
        None,
        alias="MLFLOW_TRACKING_SERVER_CERT_PATH",
        description="the CA that signed MLflow's certificate: a PEM file, or a folder of them",
    )
    mlflow_tracking_client_cert_path: Path | None = Field(
        None,
        alias="MLFLOW_TRACKING_CLIENT_CERT_PATH",
        description="a PEM file with our own certificate and its key, if MLflow is behind a proxy that asks for one",
    )
    mlflow_tracking_insecure_tls: bool = Field(
        default=False,
        alias="MLFLOW_TRACKING_INSECURE_TLS",
        description="true: MLflow's certificate is not checked",
    )
    requests_ca_bundle: Path | None = Field(
        None,
        alias="REQUESTS_CA_BUNDLE",
        description="CAs for MLflow's certificate, if MLFLOW_TRACKING_SERVER_CERT_PATH is not set; also for the store",
    )
    http_proxy: SecretStr | None = Field(
        None, alias="HTTP_PROXY", description="the proxy to an MLflow at http://; http_proxy means the same"
    )
    https_proxy: SecretStr | None = Field(
        None, alias="HTTPS_PROXY", description="the proxy to an MLflow at https://; https_proxy means the same"
    )
    all_proxy: SecretStr | None = Field(
        None, alias="ALL_PROXY", description="the proxy where neither of those is set; all_proxy means the same"
    )
    no_proxy: str | None = Field(
        None,
        alias="NO_PROXY",
        description="hosts, domains and networks that are asked without a proxy; no_proxy means the same",
    )
    s3_endpoint_url: HttpUrl | None = Field(
        None, alias="AWS_ENDPOINT_URL_S3", description="the address of an S3 store that is not Amazon's"
    )
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
    copies_s3_access_key_id: str | None = Field(
        None,
        alias="MLFLOW_OPS_COPIES_S3_ACCESS_KEY_ID",
        description="for the stores of backup.copies; else those of the backups' store",
    )
    copies_s3_secret_access_key: SecretStr | None = Field(
        None, alias="MLFLOW_OPS_COPIES_S3_SECRET_ACCESS_KEY", description="the secret of that key"
    )
    database_url: Annotated[SecretStr, starting_with("postgresql://", "postgres://")] | None = Field(
        None,
        alias="MLFLOW_OPS_DATABASE_URL",
        description="the address of MLflow's database, such as postgresql://user:password@host:5432/mlflow",
    )
    database_admin_url: Annotated[SecretStr, starting_with("postgresql://", "postgres://")] | None = Field(
        None,
        alias="MLFLOW_OPS_DATABASE_ADMIN_URL",
        description="the address of its server for a role with CREATEDB and CREATEROLE, such as "
        "postgresql://admin:password@host/postgres",
    )
    auth_database_url: Annotated[SecretStr, starting_with("postgresql://", "postgres://")] | None = Field(
        None,
        alias="MLFLOW_OPS_AUTH_DATABASE_URL",
        description="the address of basic-auth's database, such as postgresql://user:password@host:5432/auth",
    )
    pgbouncer_url: Annotated[SecretStr, starting_with("postgresql://", "postgres://")] | None = Field(
        None,
        alias="MLFLOW_OPS_PGBOUNCER_URL",
        description="the console of the PgBouncer that MLflow uses, such as "
        "postgresql://admin:password@host:6432/pgbouncer: its clients then wait while the database is switched",
    )
    replication_url: Annotated[SecretStr, starting_with("postgresql://", "postgres://")] | None = Field(
        None,
        alias="MLFLOW_OPS_REPLICATION_URL",
        description="for point-in-time recovery: the address of its server for a role with REPLICATION, such as "
        "postgresql://replicator:password@host/postgres; else that of MLFLOW_OPS_DATABASE_ADMIN_URL",
    )
    postgres_server_bin: Path | None = Field(
        None,
        alias="MLFLOW_OPS_POSTGRES_SERVER_BIN",
        description="the folder of postgres itself, of the server's major version, for going back to a moment; else "
        "it is looked for beside the client programs and where Debian puts it",
    )
    postgres_account: str | None = Field(
        None,
        alias="MLFLOW_OPS_POSTGRES_ACCOUNT",
        description="the system account that a private PostgreSQL runs as where the worker itself is root",
    )
    postgres_bin: Path | None = Field(
        None, alias="MLFLOW_OPS_POSTGRES_BIN", description="the folder of pg_dump, pg_restore and psql; else PATH"
    )
    backup_key: Annotated[SecretStr, keys(several=False)] | None = Field(
        None,
        alias="MLFLOW_OPS_BACKUP_KEY",
        description="32 random bytes in base64, as openssl rand -base64 32 prints them",
    )
    backup_keys_old: Annotated[SecretStr, keys(several=True)] | None = Field(
        None, alias="MLFLOW_OPS_BACKUP_KEYS_OLD", description="only to read with, commas between them"
    )
    audit_key: Annotated[SecretStr, keys(several=True)] | None = Field(
        None,
        alias="MLFLOW_OPS_AUDIT_KEY",
        description="what seals the audit record, for the workers: as MLFLOW_OPS_BACKUP_KEY, from which it is derived "
        "otherwise, or else KMS wraps one (backup.kms_key_id); older ones that only verify behind it, commas between "
        "them",
    )
    alerts_secret: SecretStr | None = Field(
        None,
        alias="MLFLOW_OPS_ALERTS_SECRET",
        min_length=16,
        description="what Alertmanager shows to be let in, such as openssl rand -hex 32 prints",
    )
    alertmanager_url: Annotated[SecretStr, starting_with("http://", "https://")] | None = Field(
        None,
        alias="MLFLOW_OPS_ALERTMANAGER_URL",
        description="the address of Alertmanager, such as http://alertmanager.monitoring.svc.cluster.local:9093, for "
        "the workers; with user:password@ if it asks for one",
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
    git_token: SecretStr | None = Field(
        None,
        alias="MLFLOW_OPS_GIT_TOKEN",
        description="a token for the repository of ops.yaml's gitops, for the workers: contents and pull requests, "
        "read and write (GitLab: api)",
    )
    target: TargetName = Field(
        "mlflow",
        alias="MLFLOW_OPS_TARGET",
        description="the name of the MLflow that is served: what is kept in Redis stands below it",
    )
    scratch_bytes: Annotated[int, Field(gt=0)] | None = Field(
        None,
        alias="MLFLOW_OPS_SCRATCH_BYTES",
        description="how much temporary files may take, in bytes, where that is less than the disk: the pod's limit",
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

    @model_validator(mode="after")
    def _whole_store(self) -> Self:
        given = {
            "MLFLOW_OPS_BACKUP_S3_ACCESS_KEY_ID": self.backup_s3_access_key_id,
            "MLFLOW_OPS_BACKUP_S3_SECRET_ACCESS_KEY": self.backup_s3_secret_access_key,
        }
        named = [name for name, value in given.items() if value]
        if named and self.backup_s3_endpoint_url is None:
            msg = f"{named[0]} is set and MLFLOW_OPS_BACKUP_S3_ENDPOINT_URL is not: say which store it is for."
            raise SettingsError(msg)
        if len(named) == 1:
            (lacks,) = given.keys() - set(named)
            msg = f"{named[0]} is set and {lacks} is not: credentials need both."
            raise SettingsError(msg)
        return self

    @model_validator(mode="before")
    @classmethod
    def _lower_case_proxies(cls, given: dict[str, str]) -> dict[str, str]:
        """Both spellings are in use; the lower-case one wins, as in requests, which MLflow's own client uses."""
        return given | {name.upper(): given[name] for name in _PROXIES if name in given}

    def require(self, *fields: str) -> None:
        """Raises SettingsError, naming the variable, for the first of `fields` that is not set."""
        for field in fields:
            if getattr(self, field) is None:
                variable = type(self).model_fields[field]
                msg = f"{variable.alias} is not set: it must hold {variable.description}."
                raise SettingsError(msg)
