"""Which log lines are errors, and which are the same one."""

import string
import time
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import settings
from workers.operations.health import logs
from workers.operations.health.log_errors import MOST_GROUPS, OTHERS, Groups, is_error, normalised
from workers.redaction import redacted
from workers.report import Status

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)

TRACEBACK = """\
2026/11/23 15:20:01 ERROR mlflow.server: Exception on /api/2.0/mlflow/runs/search [POST]
Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/sqlalchemy/engine/base.py", line 145, in __init__
    self._dbapi_connection = engine.raw_connection()
                             ^^^^^^^^^^^^^^^^^^^^^^^
psycopg.OperationalError: connection failed: connection to server at "10.96.0.7", port 5432 failed

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/mlflow/store/db/utils.py", line 167, in make_managed_session
    raise MlflowException(message=e)
mlflow.exceptions.MlflowException: (psycopg.OperationalError) connection failed
[SQL: SELECT 1]
(Background on this error at: https://sqlalche.me/e/20/e3q8)
INFO:     10.244.0.1:57514 - "POST /api/2.0/mlflow/runs/search HTTP/1.1" 500 Internal Server Error"""


def groups(text, pod="mlflow-1"):
    found = Groups()
    found.read(text.splitlines(), pod)
    return found


@pytest.mark.parametrize(
    "line",
    [
        "2026/11/23 15:24:49 ERROR mlflow.server: cannot reach the store",
        "[2026-11-23 15:24:49 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:12)",
        'level=error ts=2026-11-23 msg="upload failed"',
        '{"level": "error", "event": "upload failed"}',
        '{"severity": "CRITICAL", "message": "upload failed"}',
        'INFO:     10.0.0.1:1 - "GET /api HTTP/1.1" 503 Service Unavailable',
        '10.0.0.1 - - [23/Nov/2026:15:24:49 +0000] "POST /api HTTP/1.0" 500 12 "-" "curl"',
        "E1123 15:24:49.123456       1 main.go:12] cannot write",
        'FATAL:  password authentication failed for user "mlflow"',
        "botocore.exceptions.EndpointConnectionError: Could not connect",
        "ERROR:    Exception in ASGI application",
    ],
)
def test_errors(line):
    assert is_error(line)


@pytest.mark.parametrize(
    "line",
    [
        "2026/11/23 15:24:49 INFO mlflow: finished run=3 error=None errors=0",
        'INFO:     10.0.0.1:1 - "GET /errors?level=ERROR HTTP/1.1" 200 OK',
        'INFO:     10.0.0.1:1 - "GET /api HTTP/1.1" 404 Not Found',
        '{"level": "info", "event": "retried after ERROR"}',
        "WARNING: retrying after ERROR 500",
        'level=info msg="no error"',
        "the word error alone is not one",
        "I1123 15:24:49.123456       1 main.go:12] ERROR handler installed",
        "DeprecationWarning: soon an error",
        "GET /static/Error.js",
        "LOG:  checkpoint complete",
        "",
    ],
)
def test_what_grep_would_take_for_an_error_and_is_none(line):
    assert not is_error(line)


def test_a_traceback_counts_once_under_its_last_exception():
    found = groups(TRACEBACK)
    assert [(group.count, group.message) for group in found.ranked()] == [
        (1, "POST /api/2.0/mlflow/runs/search → 500"),
        (1, "mlflow.exceptions.MlflowException: (psycopg.OperationalError) connection failed"),
    ]


def test_two_tracebacks_after_each_other_are_two_errors():
    one = 'Traceback (most recent call last):\n  File "a.py", line 3, in b\n    c()\nKeyError: {}'
    found = groups("\n".join(one.format(key) for key in ("'a'", "'b'")))
    assert sorted(group.message for group in found.ranked()) == ["KeyError: 'a'", "KeyError: 'b'"]


def test_the_same_error_with_other_numbers_is_one_group_with_first_last_and_pods():
    found = Groups()
    line = "2026-11-23T15:{:02d}:00.123456789Z ERROR run {} of 0x{:x} took {}.5 s at 10.0.0.{}"
    for pod in ("mlflow-1", "mlflow-2"):
        one = Groups()
        one.read([line.format(minute, minute * 7, minute + 4096, minute, minute) for minute in range(10)], pod)
        found.merge(one)
    (group,) = found.ranked()
    assert group.count == 20
    assert group.pods == {"mlflow-1", "mlflow-2"}
    assert (group.first.minute, group.last.minute) == (0, 9)


def test_kubernetes_times_are_not_part_of_the_message():
    (group,) = groups("2026-11-23T15:24:49.123456789Z ERROR no").ranked()
    assert group.message == "ERROR no"
    assert group.first == datetime(2026, 11, 23, 15, 24, 49, 123456, tzinfo=UTC)


def test_secrets_do_not_come_through():
    text = """\
ERROR cannot connect to postgresql://mlflow:hunter2@db/mlflow
ERROR password=hunter2 is wrong
ERROR {"aws_secret_access_key": "hunter2"}
ERROR Authorization: Bearer hunter2"""
    shown = " ".join(group.message for group in groups(text).ranked())
    assert "hunter2" not in shown
    assert "cannot connect to postgresql://***@db/mlflow" in shown


def test_of_a_json_line_the_message_is_shown():
    line = '{"level": "error", "message": "upload failed", "stack": "' + "x" * 2000 + '"}'
    assert [group.message for group in groups(line).ranked()] == ["upload failed"]


def test_kinds_without_end_are_bounded():
    found = groups(
        "\n".join(f"ERROR {letter}{second}" for letter in string.ascii_letters for second in string.ascii_letters)
    )
    assert len(found.ranked()) == MOST_GROUPS + 1
    assert found.total() == 52 * 52
    assert found.ranked()[0].message == OTHERS


def test_memory_does_not_grow_with_the_log():
    def endless(count):
        for number in range(count):
            yield f"2026-11-23T15:24:49.123456789Z ERROR {number} " + "x" * 500
            yield "2026-11-23T15:24:49.123456789Z Traceback (most recent call last):"
            yield '2026-11-23T15:24:49.123456789Z   File "a.py", line 3, in b'

    tracemalloc.start()
    Groups().read(endless(5_000), "mlflow-1")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@given(st.lists(st.text(max_size=80), max_size=30))
def test_any_lines_can_be_read_and_none_counts_twice(lines):
    found = Groups()
    assert found.read(lines, "mlflow-1") == len(lines)
    assert found.total() <= len(lines)


def test_a_line_made_to_be_slow_is_read_quickly():
    began = time.perf_counter()
    for word in ("x", "a.", "A", "1", "password", '"', "://", " ", "GET ", "level="):
        assert groups("\n".join([f"ERROR {word * 8000}"] * 20)).total() == 20
    assert time.perf_counter() - began < 5


@given(st.text(max_size=300))
def test_normalising_twice_changes_nothing_and_leaves_no_digit(text):
    once = normalised(text)
    assert normalised(once) == once
    assert not any(character in string.digits for character in once)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.uuids(), st.uuids())
def test_numbers_and_ids_do_not_make_another_message(one, other, first, second):
    assert normalised(f"run {first} took {one} ms") == normalised(f"run {second} took {other} ms")


@given(st.text(alphabet=string.ascii_letters + string.digits, min_size=8, max_size=20))
def test_a_password_in_an_address_is_blotted_out(password):
    assert password not in redacted(f"cannot open postgresql://user:{password}@host/db").replace("postgresql", "")


@pytest.mark.parametrize(
    ("errors", "status"), [(0, Status.OK), (1, Status.WARN), (99, Status.WARN), (100, Status.FAIL)]
)
def test_thresholds(errors, status):
    found = groups("\n".join(["ERROR no"] * errors))
    answer = logs.judge(logs.Reading(found, errors, 1), settings.load({}), NOW)
    assert answer.status is status
    assert answer.figures["errors"] == errors


def test_containers_without_a_log_are_named():
    answer = logs.judge(logs.Reading(Groups(), 3, 2, ("mlflow-1/mlflow",)), settings.load({}), NOW + timedelta(hours=1))
    assert answer.status is Status.OK
    assert ("without a log", "mlflow-1/mlflow") in answer.details[0].items
