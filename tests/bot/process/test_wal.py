"""The process that keeps the WAL: one at work, another after it, and a base where there is none."""

import threading

import pytest

from bot.process import wal
from tests.workers.operations.backup.wal.conftest import (  # noqa: F401 - fixtures
    add_run,
    bucket,
    live,
    now,
    progress,
    reaches,
    s3,
    server,
    systems,
    until,
)
from workers import settings
from workers.operations.backup.wal import access, state
from workers.operations.backup.wal.base import BackupBase
from workers.records.store import Records
from workers.settings import SettingsError

pytestmark = pytest.mark.slow
SEAT = wal.Seat(lock_seconds=2.0, every_seconds=0.1, pause_seconds=0.2)


@pytest.fixture
def serve(monkeypatch):
    """Starts the process as a thread; what stops it."""
    started = []

    def start(of):
        stop, ready = threading.Event(), threading.Event()
        thread = threading.Thread(target=wal.serve, args=(of, stop, ready.set, SEAT))
        thread.start()
        started.append((stop, thread))
        assert ready.wait(10)
        return lambda: (stop.set(), thread.join(60))

    yield start
    for stop, thread in started:
        stop.set()
        thread.join(60)


def asked(redis):
    """The commands that were asked for."""
    records = Records(redis)
    return [records.get(each).words for each in records.recent(10)]


def test_it_does_not_start_where_it_is_off():
    with pytest.raises(SettingsError, match="point_in_time is off"):
        wal.serve(settings.load({"REDIS_URL": "redis://127.0.0.1:1"}), threading.Event(), lambda: None)


def test_one_works_and_another_follows_and_a_base_is_asked_for_once(
    systems,  # noqa: F811
    server,  # noqa: F811
    live,  # noqa: F811
    redis,
    redis_url,
    serve,
    progress,  # noqa: F811
):
    made = systems(REDIS_URL=redis_url)
    first, second = serve(made.settings), serve(made.settings)
    until(lambda: access.replication(made).look())
    until(lambda: asked(redis))
    BackupBase(now=True).run(made, progress)
    at = add_run(server, live, "run 1")
    until(lambda: reaches(made, at))
    assert state.read(redis)["problem"] == ""

    first()
    at = add_run(server, live, "run 2")
    until(lambda: reaches(made, at))
    second()

    assert asked(redis) == ["backup base --now"]
    receivers = server.do("SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'mlflow_ops_walr_%'")
    assert receivers == [(0,)]
