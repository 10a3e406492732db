"""Response times measured against real servers: MLflow's, and ones that are slow, failing, or not there."""

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from commands import grammar
from workers import settings
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Cancelled, Unwatched
from workers.operations.health.latency import Measured
from workers.operations.history.store import History, Sample
from workers.report import Status
from workers.systems import Systems
from workers.systems.errors import TrackingUnreachable


class Counting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.seen = []
        with self.server.lock:
            self.server.connections.append(self.seen)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self):
        with self.server.lock:
            self.server.paths.append(self.path)
            self.seen.append(self.path)
            self.server.began.append(time.perf_counter())
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            number = len(self.server.paths)
        status, seconds = self.server.answer(number)
        time.sleep(seconds)
        self.send_response(status)
        body = b"{}" if "/api/" in self.path else b"OK"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # Before the last byte: who has that may ask again before this thread goes on.
        with self.server.lock:
            self.server.now -= 1
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def served(answer=lambda _number: (200, 0.0)):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    server.daemon_threads = True
    server.lock, server.answer = threading.Lock(), answer
    server.paths, server.began, server.now, server.most, server.connections = [], [], 0, 0, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def do(tmp_path):
    def perform(words, url, *, progress=None, ops="", **env):
        config = tmp_path / "ops.yaml"
        config.write_text(ops or "channels: []\n")
        systems = Systems(settings.load({"MLFLOW_TRACKING_URI": url, "MLFLOW_OPS_CONFIG": str(config), **env}))
        return performing.perform_here(grammar.parse(words), words, "olga", systems, progress or Unwatched())

    return perform


def at(server):
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("words", ["latency --requests 40 --concurrency 4", "health mlflow"])
def test_each_request_has_a_connection_of_its_own_as_with_ab(do, words):
    """On one that is kept, the second packet of MLflow's answer waits 40 ms for an acknowledgement, which is told."""
    with served() as server:
        assert do(words, at(server)).status is Status.OK
    asked = [path for path in server.paths if path != "/version"]
    assert len(asked) >= 4
    # What is read once besides, and not measured, may share one.
    measured = {"/health", "/api/2.0/mlflow/experiments/search?max_results=1"}
    assert all(sum(path in measured for path in seen) <= 1 for seen in server.connections)


def test_what_was_typical_last_week_stands_beside_it(do, redis, redis_url):
    now = datetime.now(UTC)
    for days, seconds in ((1, 0.03), (2, 0.02), (3, 0.5), (9, 60.0)):
        History(redis).keep(Sample(now - timedelta(days=days), {"mlflow.p95_seconds": seconds}))
    with served() as server:
        report = do("latency --requests 5", at(server), REDIS_URL=redis_url)
        alone = do("latency --requests 5", at(server))
    assert report.summary.endswith("Typical last week: p95 30 ms.")
    assert "p95 30 ms, the median of 3 health checks, one request at a time" in str(report.sections[0])
    assert "last week" not in str(alone)


def test_as_many_as_asked_and_no_more_at_once(do):
    with served(lambda _: (200, 0.02)) as server:
        began = time.perf_counter()
        report = do("latency --requests 60 --concurrency 6", at(server))
        took = time.perf_counter() - began
    assert server.paths == ["/health"] * 60
    assert 2 <= server.most <= 6
    facts = dict(report.sections[0].items)
    assert (report.status, facts["errors"], facts["answers"]) == (Status.OK, "none", "60 x 200")
    assert sum(int(row[1]) for row in report.sections[1].rows) == 60
    # The server saw less of each than the command did, and the test more.
    answering = server.began[-1] - server.began[0]
    assert 60 / took <= float(facts["requests a second"]) + 0.1
    assert float(facts["requests a second"]) - 0.1 <= 60 / answering
    assert float(facts["requests a second"]) < 310


def test_percentiles_are_by_nearest_rank():
    found = Measured(seconds=[n / 100 for n in range(1, 101)])
    assert [found.percentile(percent) for percent in (50, 90, 95, 99)] == [0.5, 0.9, 0.95, 0.99]
    assert Measured(seconds=[0.3]).percentile(99) == 0.3


def test_errors_are_counted_and_named(do):
    with served(lambda number: (503 if number % 4 == 0 else 200, 0.0)) as server:
        report = do("latency --requests 80 --concurrency 4", at(server))
    assert report.status is Status.WARN
    assert report.summary.startswith("20 of 80 requests failed")
    assert dict(report.sections[0].items)["answers"] == "60 x 200, 20 x 503"


def test_where_all_fails_it_stops_asking(do):
    with served(lambda _: (500, 0.0)) as server:
        report = do("latency --requests 500 --concurrency 5", at(server))
    assert report.status is Status.FAIL
    assert 10 <= len(server.paths) < 30
    assert "the first 10 failed" in report.summary


def test_where_nobody_listens_it_says_so(do, free_port):
    with pytest.raises(TrackingUnreachable, match="refuses connections"):
        do("latency", f"http://127.0.0.1:{free_port}")


def test_a_slow_server_is_a_warning_and_the_time_is_bounded(do):
    ops = "latency: {seconds_at_most: 1}\nhealth: {thresholds: {tracking_p95_warn_seconds: 0.1}}\n"
    with served(lambda _: (200, 0.3)) as server:
        began = time.monotonic()
        report = do("latency --requests 200 --concurrency 2", at(server), ops=ops)
    assert time.monotonic() - began < 15
    assert report.status is Status.WARN
    assert "1 s were over" in report.summary


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("latency --requests 1001", "--requests 1,001 would be a load test; at most 1,000 are allowed."),
        ("latency --concurrency 21", "--concurrency 21 would be a load test; at most 20 are allowed."),
    ],
)
def test_it_is_no_load_test(do, words, said):
    with served() as server:
        with pytest.raises(OperatorError) as told:
            do(words, at(server))
        assert told.value.message == said
        assert "ops.yaml" in told.value.hint
        assert not server.paths
        do("latency --requests 30 --concurrency 25", at(server), ops="latency: {concurrency_at_most: 25}\n")


@pytest.mark.parametrize(
    "path",
    [
        "http://169.254.169.254/latest/meta-data",
        "//169.254.169.254/latest",
        "@evil.example/",
        "health",
        "/\\evil.example",
        "/a b",
        "/a\r\nHost: evil",
        "/a/../../admin",
        "/#x",
        "/ünïcode",
    ],
)
def test_only_paths_of_the_server_itself_are_asked(path):
    with pytest.raises(grammar.UsageError, match="a path of MLflow's own server"):
        grammar.parse(f"latency --path '{path}'")


def test_the_path_goes_to_mlflow_as_it_was_given(do):
    with served() as server:
        do("latency --requests 3 --path /api/2.0/mlflow/experiments/search?max_results=1", at(server))
    assert set(server.paths) == {"/api/2.0/mlflow/experiments/search?max_results=1"}


def test_it_stops_when_asked_to(do):
    class Stops(Unwatched):
        def checkpoint(self):
            raise Cancelled

    with served(lambda _: (200, 0.05)) as server:
        with pytest.raises(Cancelled):
            do("latency --requests 500 --concurrency 2", at(server), progress=Stops())
        asked = len(server.paths)
        time.sleep(0.3)
        assert len(server.paths) == asked <= 20
