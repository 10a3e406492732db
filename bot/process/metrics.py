"""/metrics for Prometheus, /healthz and /readyz, of the bot, the scheduler and the workers.

What bot and scheduler show comes from Redis when it is asked for, so both show the same, and a counter outlives them.
What only workers can see (backups, drills, certificates) comes from the last health run that asked for it; a
silent one runs each hour (`figures`). A worker shows its own process only.

A worker forks for each job. The child inherits the listening socket, and would keep the port taken, and callers
waiting, where its parent dies: so it closes its copy first thing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Gauge, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import make_wsgi_app
from redis.exceptions import RedisError

from bot.wsgi_server import wsgi_server
from workers.engine.queues import QUEUES, queue
from workers.operations.backup.wal import state
from workers.operations.history.store import History
from workers.records import counters
from workers.records.record import Phase
from workers.records.store import Records

if TYPE_CHECKING:
    from redis import Redis

THREADS: Final = 2
LOOK_BACK: Final = timedelta(hours=6)
OPEN_AT_MOST: Final = 1000
_FIGURES: Final = {
    "mlflow_ops_backup_age_seconds": ("backup.age_seconds", "Age of the last good backup."),
    "mlflow_ops_drill_age_seconds": ("backup.drill_age_seconds", "Time since the last restore drill."),
    "mlflow_ops_drill_well": ("backup.drill_well", "1 where the last restore drill went well, else 0."),
    "mlflow_ops_restore_seconds": ("backup.restore_seconds", "How long the last drill took to restore the database."),
    "mlflow_ops_certificate_left_days": ("ingress.certificate_days", "Until the Ingress's certificate ends."),
    "mlflow_ops_database_size_bytes": ("postgres.size_bytes", "Size of MLflow's database."),
    "mlflow_ops_base_backup_age_seconds": ("recovery.base_age_seconds", "Age of the last base backup."),
    "mlflow_ops_wal_gaps": ("recovery.gaps", "Gaps in the WAL that is kept."),
    "mlflow_ops_mlflow_latency_seconds": ("mlflow.p95_seconds", "MLflow's 95th percentile in the last health run."),
}
_VERDICTS: Final = {"ok": 0.0, "unknown": 1.0, "warn": 2.0, "fail": 3.0}

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Any]


class Figures:
    """Reads them from Redis whenever Prometheus asks."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def collect(self) -> Iterator[Metric]:
        """Every figure; where Redis is away only that it is."""
        try:
            self._redis.ping()
        except RedisError:
            yield GaugeMetricFamily("mlflow_ops_redis_up", "1 where Redis answers.", value=0)
            return
        yield GaugeMetricFamily("mlflow_ops_redis_up", "1 where Redis answers.", value=1)
        yield from self._queues()
        yield from self._done()
        yield self._waiting()
        yield from self._health()
        yield from self._recovery()

    def _queues(self) -> Iterator[Metric]:
        from rq import Worker

        jobs = GaugeMetricFamily("mlflow_ops_queue_jobs", "Jobs that wait.", labels=["queue"])
        oldest = GaugeMetricFamily("mlflow_ops_queue_oldest_seconds", "Age of the oldest.", labels=["queue"])
        workers = GaugeMetricFamily("mlflow_ops_workers", "Workers that said they live.", labels=["queue"])
        for name in QUEUES:
            waiting = queue(name, self._redis)
            first = next(iter(waiting.get_jobs(0, 1)), None)
            since = first.enqueued_at.replace(tzinfo=UTC) if first and first.enqueued_at else datetime.now(UTC)
            jobs.add_metric([name], len(waiting))
            oldest.add_metric([name], (datetime.now(UTC) - since).total_seconds())
            workers.add_metric([name], Worker.count(queue=waiting))
        yield from (jobs, oldest, workers)

    def _done(self) -> Iterator[Metric]:
        seconds = counters.read(self._redis, counters.SECONDS)
        labels = ["operation", "outcome"]
        ended = CounterMetricFamily("mlflow_ops_operations", "Operations that have ended.", labels=labels)
        took = SummaryMetricFamily("mlflow_ops_operation_seconds", "How long they took.", labels=["operation"])
        number: dict[str, float] = {}
        for (operation, outcome), value in counters.read(self._redis, counters.ENDED).items():
            ended.add_metric([operation, outcome], value)
            number[operation] = number.get(operation, 0) + value
        for operation, value in number.items():
            took.add_metric([operation], count_value=int(value), sum_value=seconds.get((operation,), 0.0))
        calls = CounterMetricFamily("mlflow_ops_slack_calls", "Messages to Slack.", labels=["kind", "result"])
        for (kind, result), value in counters.read(self._redis, counters.SLACK).items():
            calls.add_metric([kind, result], value)
        yield from (ended, took, calls)

    def _waiting(self) -> Metric:
        records = Records(self._redis)
        found = [records.get(each) for each in records.open()[:OPEN_AT_MOST]]
        pending = sum(1 for each in found if each is not None and each.phase is Phase.PENDING)
        return GaugeMetricFamily("mlflow_ops_approvals_waiting", "Commands that wait for approval.", value=pending)

    def _health(self) -> Iterator[Metric]:
        now = datetime.now(UTC)
        latest: dict[str, float] = {}
        verdicts: dict[str, str] = {}
        at: datetime | None = None
        for made in History(self._redis).samples(now - LOOK_BACK, now):
            passed = (now - made.at).total_seconds()
            aged = {name: value + passed for name, value in made.figures.items() if name.endswith("age_seconds")}
            latest.update(made.figures | aged)
            verdicts.update(made.verdicts)
            at = made.at
        if at is None:
            return
        yield GaugeMetricFamily("mlflow_ops_health_run_time_seconds", "When it was looked last.", value=at.timestamp())
        checks = GaugeMetricFamily(
            "mlflow_ops_health", "0 ok, 1 unknown, 2 warn, 3 fail, in the last health run.", labels=["check"]
        )
        for check, verdict in verdicts.items():
            checks.add_metric([check], _VERDICTS.get(verdict, 1.0))
        yield checks
        for name, (figure, meaning) in _FIGURES.items():
            if figure in latest:
                yield GaugeMetricFamily(name, meaning, value=latest[figure])

    def _recovery(self) -> Iterator[Metric]:
        """How far behind the WAL that is kept is; nothing where no process keeps any."""
        told, now = state.read(self._redis), time.time()
        if not told:
            return
        kept = not told["problem"] and now - told["at"] <= state.SILENT_SECONDS
        yield GaugeMetricFamily("mlflow_ops_wal_kept", "1 where the WAL is being kept, else 0.", value=float(kept))
        yield GaugeMetricFamily("mlflow_ops_wal_lag_bytes", "WAL that only the server has.", value=told["lag_bytes"])
        if told["point_at"]:
            behind = max(0.0, now - told["point_at"])
            yield GaugeMetricFamily("mlflow_ops_recovery_point_seconds", "Age of the newest moment kept.", value=behind)


def app(redis: Redis, ready: Callable[[], bool], process: str = "bot", *, shared: bool = True) -> WSGI:
    """The three addresses; anything else is not found. ready: whether the process can serve; process: what it is
    called. shared: with the figures that all processes share.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    can_serve = Gauge("mlflow_ops_ready", "1 where this process can serve.", ["process"], registry=registry)
    can_serve.labels(process).set_function(lambda: float(ready() and _answers(redis)))
    if shared:
        registry.register(Figures(redis))
    shown: WSGI = make_wsgi_app(registry)

    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return shown(environ, start)
        well = {"/healthz": lambda: True, "/readyz": lambda: ready() and _answers(redis)}.get(path)
        if well is None:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found\n"]
        good = well()  # type: ignore[no-untyped-call]
        start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"ok\n" if good else b"not ready\n"]

    return serve


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


@contextmanager
def served(port: int, serving: WSGI) -> Iterator[None]:
    """Serve what `app` made on all interfaces for as long as this goes on. Raises OSError."""
    open_: dict[int, Any] = {}
    server = wsgi_server(serving, host="0.0.0.0", port=port, threads=THREADS, map=open_)  # noqa: S104

    def forget() -> None:
        for each in [each for each in open_.values() if getattr(each, "socket", None)]:
            each.socket.close()

    os.register_at_fork(after_in_child=forget)
    threading.Thread(target=server.run, name="metrics", daemon=True).start()
    try:
        yield
    finally:
        server.close()
