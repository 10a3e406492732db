"""Who answers in MLflow's place, and with what: each told apart, and by health, check and every command alike."""

import time
from contextlib import ExitStack

import pytest

from commands.grammar import parse
from tests.workers.systems.strict_mlflow import (
    BAD_HOST,
    HTML,
    JSON,
    NOT_AUTHENTICATED,
    TEXT,
    Strict,
    json_error,
    serving,
)
from workers import settings
from workers.errors import OperatorError
from workers.operation import Risk, Unwatched
from workers.operations.health import mlflow
from workers.operations.health.questions import Asking, ask_all
from workers.operations.preflight import QUESTIONS
from workers.report import Status
from workers.systems import Systems
from workers.systems import errors as kinds

PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form action='/login'></form></body></html>"
NGINX = "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center><hr>nginx</body></html>"
MLFLOW_401 = {"Content-Type": HTML, "WWW-Authenticate": 'Basic realm="mlflow"'}
LOGIN = "https://login.example.com/oauth2/authorize?state=s3cret"
# What stands before MLflow, or MLflow, answers; the kind of it, and the sentence with MLflow's address as {at}.
CASES = {
    "MLflow asks for a user": (
        (401, MLFLOW_401, NOT_AUTHENTICATED),
        kinds.TrackingUnauthorized,
        "MLflow at {at} asks for a user and password.",
    ),
    "MLflow's user may not": (
        (403, {"Content-Type": JSON}, json_error("PERMISSION_DENIED", "s3cret")),
        kinds.TrackingForbidden,
        "MLflow at {at} does not let us do that.",
    ),
    "MLflow's user may not, in basic auth's words": (
        (403, {"Content-Type": HTML}, "Permission denied"),
        kinds.TrackingForbidden,
        "MLflow at {at} does not let us do that.",
    ),
    "MLflow does not know the host": (
        (403, {"Content-Type": TEXT}, BAD_HOST),
        kinds.TrackingHostRefused,
        "MLflow at {at} rejects requests for the host 127.0.0.1.",
    ),
    "a sign-in proxy redirects": (
        (302, {"Location": LOGIN}, ""),
        kinds.TrackingGuarded,
        "A sign-in proxy answered for MLflow at {at}: 302, to login.example.com/oauth2/authorize.",
    ),
    "a sign-in proxy redirects to itself": (
        (302, {"Location": "/oauth2/start?rd=%2F"}, ""),
        kinds.TrackingGuarded,
        "A sign-in proxy answered for MLflow at {at}: 302, to /oauth2/start.",
    ),
    "a sign-in proxy's 401": (
        (401, {"Content-Type": HTML}, PAGE),
        kinds.TrackingGuarded,
        "A sign-in proxy answered for MLflow at {at}: 401, it asks for a sign-in.",
    ),
    "nginx's basic auth": (
        (
            401,
            {"Content-Type": HTML, "WWW-Authenticate": 'Basic realm="Restricted"'},
            NGINX.format("401 Authorization"),
        ),
        kinds.TrackingGuarded,
        "A sign-in proxy answered for MLflow at {at}: 401, it asks for a sign-in.",
    ),
    "a sign-in proxy's 403, whose page says host": (
        (403, {"Content-Type": HTML}, PAGE.replace("Sign in", "Sign in to this host")),
        kinds.TrackingGuarded,
        "A sign-in proxy answered for MLflow at {at}: 403, it asks for a sign-in.",
    ),
    "a service mesh": (
        (403, {"Content-Type": TEXT}, "RBAC: access denied"),
        kinds.TrackingGuarded,
        "Not MLflow but what stands before it at {at} turned us away (403).",
    ),
    "a page with 200": (
        (200, {"Content-Type": HTML}, PAGE),
        kinds.Nonsense,
        "A web page came in place of the answer of MLflow at {at} (200, HTML).",
    ),
    "too large": (
        (413, {"Content-Type": HTML}, NGINX.format("413 Request Entity Too Large")),
        kinds.TrackingTooLarge,
        "What stands before MLflow at {at} takes no request of ",
    ),
    "a proxy waited in vain": (
        (504, {"Content-Type": HTML}, NGINX.format("504 Gateway Time-out")),
        kinds.TrackingLate,
        "A proxy answered for MLflow at {at}: 504, it does not get its answer in time.",
    ),
    "a proxy has nobody behind it": (
        (503, {"Content-Type": HTML}, NGINX.format("503 Service Temporarily Unavailable")),
        kinds.TrackingBehindProxy,
        "A proxy answered for MLflow at {at}: 503, it does not reach it.",
    ),
    "too many requests": (
        (429, {"Content-Type": TEXT, "Retry-After": "60"}, "slow down"),
        kinds.TrackingBusy,
        "MLflow at {at} answers 429: too many requests.",
    ),
}
COMMANDS = (
    "experiments list",
    "experiments show a",
    "experiments create b",
    "experiments rename a b",
    "experiments delete a",
    "experiments restore a",
    "runs search a",
    "runs show 0b41f7d2",
    "runs compare a",
    "runs tag 0b41f7d2 k=v",
    "runs untag 0b41f7d2 k",
    "runs param 0b41f7d2 k=v",
    "runs archive --older-than 90d",
    "runs unarchive 260826-3fa0c1",
    "models list",
    "models show m",
    "models alias m champion 2",
    "models tag m k=v",
    "restore run 0b41f7d2",
)


@pytest.fixture
def serve():
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(serving(Strict(**more)))


@pytest.fixture
def systems():
    def make(server, **variables):
        return Systems(settings.load({"MLFLOW_TRACKING_URI": server.url, **variables}))

    return make


def checked(question, systems):
    """What a check says: its status and its sentence."""
    asking = Asking(systems, 5)
    try:
        (_, answer), *_ = ask_all([question], asking)
    finally:
        asking.close()
    return answer.status, answer.sentence


def said(words, systems):
    """What a command says that cannot do its work; a change says it in its plan."""
    operation = parse(words)
    with pytest.raises(OperatorError) as caught:
        operation.run(systems, Unwatched()) if operation.risk is Risk.READ else operation.plan(systems)
    assert type(caught.value) is not OperatorError
    return caught.value.message


@pytest.mark.parametrize("case", CASES)
def test_each_is_told_apart_with_one_sentence(serve, systems, case):
    answer, kind, sentence = CASES[case]
    server = serve(before=lambda *_: answer)
    asked = systems(server)
    with pytest.raises(kind) as caught:
        asked.tracking.search_experiments()
    assert type(caught.value) is kind
    sentence = sentence.format(at=asked.tracking.address)
    assert caught.value.message.startswith(sentence)
    assert caught.value.hint
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("case", [case for case in CASES if case != "too large"])
def test_health_check_and_every_command_say_the_same_of_the_same(serve, systems, case):
    answer, _, sentence = CASES[case]
    server = serve(before=lambda *_: answer)
    sentence = sentence.format(at=systems(server).tracking.address)
    of_check = next(question for question in QUESTIONS if question.name == "mlflow")
    for question in (mlflow.QUESTION, of_check):
        assert checked(question, systems(server)) == (Status.FAIL, sentence)
    for words in COMMANDS:
        assert said(words, systems(server)) == sentence, words


def test_what_is_too_large_is_told_with_its_size(serve, systems):
    server = serve(before=lambda *_: CASES["too large"][0])
    with pytest.raises(kinds.TrackingTooLarge, match=r"takes no request of 2\.0 MiB \(413\)"):
        systems(server).tracking.call("runs/log-batch", {"run_id": "x" * 2 * 1024**2})


def test_a_429_is_waited_for(serve, systems):
    left = [
        (429, {"Retry-After": "0"}, ""),
        (429, {}, ""),
        (429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, ""),
    ]
    server = serve(before=lambda *_: left.pop() if left else None)
    assert systems(server).tracking.search_experiments() == [{"name": "a"}]
    assert len(server.asked) == 4


def test_a_429_is_told_once_the_call_has_had_its_time(serve, systems):
    server = serve(before=lambda *_: (429, {"Retry-After": "1"}, ""))
    began = time.monotonic()
    with pytest.raises(kinds.TrackingBusy, match=r"answers 429 for 2 s: too many requests"):
        systems(server).tracking.within(2.5).search_experiments()
    assert 1.5 < time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("status", "location", "words"),
    [
        (308, "https://127.0.0.1:{port}{path}", "redirects to https"),
        (301, "http://mlflow.example.com{path}", "redirects to http://mlflow.example.com"),
    ],
)
def test_a_redirect_to_mlflow_is_no_sign_in(serve, systems, status, location, words):
    server = serve()
    server.before = lambda _method, path, _headers: (
        status,
        {"Location": location.format(port=server.port, path=path)},
        "",
    )
    with pytest.raises(kinds.TrackingGuarded, match=words) as caught:
        systems(server).tracking.search_experiments()
    assert "sign-in" not in str(caught.value)


def test_who_shows_credentials_hears_that_they_are_not_taken(serve, systems):
    server = serve(before=lambda *_: CASES["a sign-in proxy's 401"][0])
    with pytest.raises(kinds.TrackingGuarded, match="does not take our credentials"):
        systems(server, MLFLOW_TRACKING_TOKEN="t").tracking.search_experiments()
    server.before = lambda *_: CASES["MLflow's user may not"][0]
    with pytest.raises(kinds.TrackingForbidden, match="does not let our user ada do that"):
        systems(server, MLFLOW_TRACKING_USERNAME="ada").tracking.search_experiments()
