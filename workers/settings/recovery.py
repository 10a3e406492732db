"""ops.yaml: point-in-time recovery. Everything else works without it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from workers.settings.values import HttpUrl, Section

GIB = 1 << 30
_CLUSTER = r"^(([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z]([-a-z0-9]{0,48}[a-z0-9])?)?$"


class Recovery(Section):
    """Point-in-time recovery: the server's changes are kept as they are made, beside base backups.

    What it keeps is in storage.backups_bucket, under wal/.
    """

    point_in_time: bool = Field(
        default=False,
        description="on: any moment can be gone back to, and the schedule has a drill of that every week; with source "
        "own `mlflow-ops wal` keeps the WAL, and there is a base backup every day",
    )
    source: Literal["own", "cnpg", "pgbackrest", "barman"] = Field(
        "own",
        description="who keeps the WAL. own: `mlflow-ops wal`. cnpg: CloudNativePG; from its backups a second Cluster "
        "is made for as long as a restore needs it. pgbackrest, barman: these; a restore to a moment says the command "
        "to run by hand",
    )
    cluster: Annotated[str, Field(pattern=r"^(([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z]([-a-z0-9]{0,48}[a-z0-9])?)?$")] = (
        Field(
            "",
            description="with source cnpg: the Cluster that MLflow's database is in, as NAME or NAMESPACE/NAME; by "
            "default what MLFLOW_OPS_DATABASE_URL says (NAME-rw, NAME-rw.NAMESPACE.svc)",
        )
    )
    flush_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        30, description="how often the part of the WAL that is still being written is stored: the recovery point"
    )
    keep_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        7, description="how far back one can go; WAL and bases that no such moment needs are pruned"
    )
    full_days: Annotated[int, Field(ge=1, le=365)] = Field(
        7,
        description="how old the last full base backup may be: those in between hold only what has changed, where the "
        "server is 17 or newer and has summarize_wal = on",
    )
    base_bytes_per_second: Annotated[int, Field(ge=32 << 10, le=GIB)] | None = Field(
        8 << 20,
        description="how fast a base backup reads the server, faster where that would take more than six hours; "
        "`backup base --now` and null: as fast as it goes",
    )
    slot_bytes: Annotated[int, Field(ge=1)] = Field(
        16 * GIB,
        description="how much WAL the server may have to keep for us (as while the store is down) before its slot is "
        "given up and a new base is needed",
    )
    spool_bytes: Annotated[int, Field(ge=1)] = Field(
        GIB, description="how much WAL may wait on the process's own disk; beyond it the server keeps the rest"
    )

    @property
    def keeps_wal(self) -> bool:
        """Whether it is on, and we keep the WAL ourselves."""
        return self.point_in_time and self.source == "own"


class Peek(Section):
    """`peek`: MLflow as it was at a moment, run as a Job in the cluster, to look at."""

    url: HttpUrl | None = Field(
        None,
        description="where people's browsers reach its pods (label mlflow-ops/purpose=peek), such as an Ingress of "
        "yours that asks who they are: shown as a link. By default they use kubectl port-forward",
    )
    port: Annotated[int, Field(ge=1024, le=65534)] = Field(5000, description="on which its pod listens")

    @property
    def allowed_hosts(self) -> str:
        """The names that MLflow is to answer to, with commas between; empty: those that it answers to anyway."""
        if self.url is None or self.url.host is None:
            return ""
        names = ("localhost", "127.0.0.1", self.url.host)
        return ",".join(f"{name},{name}:*" for name in dict.fromkeys(names))
