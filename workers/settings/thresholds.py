"""ops.yaml: how health is asked and judged, and what `latency` may ask."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from workers.settings.values import Days, Fraction, Seconds, Section


class Thresholds(Section):
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


class Health(Section):
    """How the health check asks and judges."""

    deadline_seconds: Annotated[float, Field(gt=0, le=30)] = Field(5.0, description="for each check")
    log_window_seconds: Annotated[int, Field(ge=60, le=86400)] = Field(3600, description="how far back errors count")
    log_tail_lines: Annotated[int, Field(ge=10, le=100_000)] = Field(2000, description="lines read per container")
    burst_requests: Annotated[int, Field(ge=5, le=200)] = Field(20, description="requests in the latency burst")
    burst_seconds: Annotated[float, Field(gt=0, le=10)] = Field(
        0.025, description="after which the latency burst asks no more, however few requests that were"
    )
    thresholds: Thresholds = Thresholds()


class Latency(Section):
    """What `latency` may ask of MLflow: it measures, and is no load test."""

    requests_at_most: Annotated[int, Field(ge=1, le=10_000)] = Field(1000, description="in one measurement")
    concurrency_at_most: Annotated[int, Field(ge=1, le=50)] = Field(20, description="requests at the same time")
    seconds_at_most: Annotated[float, Field(gt=0, le=300)] = Field(60, description="after which it asks no more")
