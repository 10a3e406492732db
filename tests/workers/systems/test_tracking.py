"""The MLflow gateway: strict times, and what MLflow's refusals mean."""

import time

import pytest

from workers.settings import SettingsError
from workers.systems.errors import (
    Nonsense,
    TrackingError,
    TrackingForbidden,
    TrackingHostRefused,
    TrackingTimeout,
    TrackingUnauthorized,
    TrackingUnavailable,
    TrackingUnreachable,
)
from workers.systems.mlflow.tracking import SEARCH, Tracking


@pytest.fixture
def connect(configured):
    return lambda uri, **more: Tracking.connect(configured(MLFLOW_TRACKING_URI=uri, **more)).within(0.5)


def test_answers_are_read(connect, http):
    http.answers = {
        "/health": (200, b"OK"),
        "/version": (200, b"3.17.2"),
        SEARCH: (200, b'{"experiments": [{"x": 1}]}'),
    }
    tracking = connect(f"{http.url}/")
    assert (tracking.health(), tracking.version(), tracking.search_experiments()) == ("OK", "3.17.2", [{"x": 1}])


def test_no_experiments_is_an_empty_object(connect, http):
    http.answers[SEARCH] = (200, b"{}")
    assert connect(http.url).search_experiments() == []


def test_basic_auth_comes_from_its_variables_or_the_address_and_is_not_shown(connect, http):
    http.answers["/version"] = (200, b"3.17.2")
    connect(http.url, MLFLOW_TRACKING_USERNAME="ada", MLFLOW_TRACKING_PASSWORD="hunter2").version()
    inline = connect(f"http://ada:hunter2@127.0.0.1:{http.port}")
    inline.version()
    assert [headers["Authorization"] for _, headers in http.asked] == ["Basic YWRhOmh1bnRlcjI="] * 2
    assert "hunter2" not in repr(inline) + inline.base


def test_silence_is_given_up_in_time(connect, silent):
    began = time.monotonic()
    with pytest.raises(TrackingTimeout, match=rf"MLflow at 127\.0\.0\.1:{silent} does not answer within 0\.5 s"):
        connect(f"http://127.0.0.1:{silent}").search_experiments()
    assert time.monotonic() - began < 5


def test_refused_connections_are_told(connect, closed):
    with pytest.raises(TrackingUnreachable, match="refuses connections"):
        connect(f"http://127.0.0.1:{closed}").health()


@pytest.mark.parametrize("body", [b"<html></html>", b'{"experiments": [', b"[]", b'{"experiments": 3}'])
def test_garbage_is_nonsense(connect, http, body):
    http.answers[SEARCH] = (200, body)
    with pytest.raises(Nonsense):
        connect(http.url).search_experiments()


def test_bytes_that_are_not_http_break_off(connect, saying):
    with pytest.raises(TrackingUnreachable, match="broke off"):
        connect(f"http://127.0.0.1:{saying(b'SSH-2.0-OpenSSH_9.9')}").search_experiments()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((403, b"Invalid Host header - possible DNS rebinding attack detected"), TrackingHostRefused, "127.0.0.1"),
        ((401, b"You are not authenticated."), TrackingUnauthorized, "a user and password"),
        ((403, b'{"error_code": "PERMISSION_DENIED"}'), TrackingForbidden, "let us do that"),
        ((503, b'{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "secret"}'), TrackingUnavailable, "TEMPORARILY"),
        ((500, b"<html>"), TrackingUnavailable, "an error page"),
        ((404, b"nothing here"), TrackingError, "404"),
    ],
)
def test_refusals_are_told_apart(connect, http, answer, kind, words):
    http.default = answer
    with pytest.raises(kind) as caught:
        connect(http.url).search_experiments()
    assert type(caught.value) is kind
    assert words in caught.value.message
    assert "secret" not in str(caught.value)


def test_the_host_check_names_the_option(connect, http):
    http.default = (403, b"Invalid Host header")
    with pytest.raises(TrackingHostRefused) as caught:
        connect(http.url).search_experiments()
    assert "--allowed-hosts" in caught.value.hint


def test_without_an_address_the_variable_is_named(configured):
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI"):
        Tracking.connect(configured())
