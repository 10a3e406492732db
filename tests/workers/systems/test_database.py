"""The PostgreSQL gateway against a real PostgreSQL, and what it says when there is none."""

import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

import psycopg
import pytest

from mlflow_ops_sandbox.patience import stretched
from workers.settings import SettingsError
from workers.systems.errors import DatabaseError, DatabaseMissing, DatabaseRefused, DatabaseUnreachable
from workers.systems.postgres.database import Database

PASSWORD = "p@ss/w0rd-hunter2"


@pytest.fixture
def postgres_url(parts):
    return parts.env["MLFLOW_OPS_DATABASE_URL"]


@pytest.fixture
def connect(configured):
    return lambda url, patience=2.0: Database.connect(configured(MLFLOW_OPS_DATABASE_URL=url)).within(patience)


def test_vitals_are_read_and_connections_counted(connect, postgres_url):
    with psycopg.connect(postgres_url), psycopg.connect(postgres_url):
        vitals = connect(postgres_url).vitals()
    assert vitals.version.split(".")[0].isdigit()
    assert vitals.connections >= 3
    assert vitals.max_connections >= vitals.connections
    assert vitals.size_bytes > 1_000_000
    assert 0 < vitals.round_trip_seconds < 1


def test_the_longest_query_is_shown_without_the_rest_of_its_text(connect, postgres_url):
    secret = "x" * 200
    with psycopg.connect(postgres_url, autocommit=True, application_name="trainer") as busy:
        query = f"SELECT pg_sleep(30),\n\n '{secret}'"
        thread = threading.Thread(target=lambda: _cancelled(busy, query))
        thread.start()
        vitals = _until(connect(postgres_url).vitals, lambda found: found.longest)
        busy.cancel_safe()
        thread.join()
    assert vitals.longest.application == "trainer"
    assert vitals.longest.state == "active"
    assert vitals.longest.text.startswith("SELECT pg_sleep(30), 'xxx")
    assert len(vitals.longest.text) == 80
    assert vitals.longest.age_seconds < 30


def test_a_database_that_is_missing_is_named(connect, postgres_url):
    url = urlsplit(postgres_url)._replace(path="/nowhere").geturl()
    with pytest.raises(DatabaseMissing, match="has no database nowhere"):
        connect(url).vitals()


def test_a_wrong_role_or_password_is_told_without_the_password(connect, postgres_url):
    parts = urlsplit(postgres_url)
    url = parts._replace(netloc=f"nobody:p%40ss%2Fw0rd-hunter2@{parts.netloc.rpartition('@')[2]}").geturl()
    with pytest.raises(DatabaseRefused) as caught:
        connect(url).vitals()
    assert "nobody" in caught.value.message
    assert_no_password(caught.value)


def test_a_refused_connection_is_told(connect, closed):
    with pytest.raises(
        DatabaseUnreachable, match=rf"PostgreSQL at 127\.0\.0\.1:{closed} refuses connections\."
    ) as caught:
        connect(f"postgresql://mlflow:p%40ss%2Fw0rd-hunter2@127.0.0.1:{closed}/mlflow").vitals()
    assert_no_password(caught.value)


def test_silence_is_given_up_in_time(connect, silent):
    began = time.monotonic()
    with pytest.raises(DatabaseUnreachable, match="does not answer within 2 s"):
        connect(f"postgresql://mlflow:hunter2@127.0.0.1:{silent}/mlflow").vitals()
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n\r\n<html>", b"", b"\x00" * 64, b"R\x00\x00\x00\x08\x00\x00\x00\x63"]
)
def test_garbage_is_a_sentence(connect, saying, words):
    with pytest.raises(DatabaseError, match="PostgreSQL at") as caught:
        connect(f"postgresql://mlflow:p%40ss%2Fw0rd-hunter2@127.0.0.1:{saying(words)}/mlflow").vitals()
    assert len(caught.value.message.splitlines()) == 1
    assert_no_password(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://mlflow:{PASSWORD}@host:5432/mlflow",
        "postgresql://mlflow:p%ZZhunter2@host/mlflow",
        "postgresql://mlflow:hunter2@host:port/mlflow",
        "postgresql://mlflow:hunter2@host/mlflow?nonsense=hunter2",
    ],
)
def test_an_address_that_cannot_be_read_is_not_repeated(connect, url):
    with pytest.raises(DatabaseError) as caught:
        connect(url).vitals()
    assert_no_password(caught.value)


def test_statements_are_cut_off_and_the_session_says_who_it_is(connect, postgres_url):
    database = connect(postgres_url, 1.0)
    with database._open() as connection:
        assert connection.execute("SHOW application_name").fetchone() == ("mlflow-ops",)
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(5)")


def test_without_an_address_the_variable_is_named(configured):
    with pytest.raises(SettingsError, match="MLFLOW_OPS_DATABASE_URL"):
        Database.connect(configured())


def test_it_does_not_show_its_password(connect):
    assert "hunter2" not in repr(connect("postgresql://mlflow:hunter2@db:5432/mlflow"))


def assert_no_password(error):
    shown = f"{error} {error!r} {error.__cause__!r}"
    for part in (PASSWORD, "hunter2", "p%40ss"):
        assert part not in shown


def _cancelled(connection, query):
    with suppress(psycopg.errors.QueryCanceled):
        connection.execute(query)


def _until(ask, good, seconds=10):
    end = time.monotonic() + stretched(seconds)
    while True:
        found = ask()
        if good(found) or time.monotonic() > end:
            return found
        time.sleep(0.02)
