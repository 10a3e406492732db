"""The one filter: what this process was given, and what looks like a secret, is nowhere to be read."""

import json
import logging

import pytest

from workers import logging as logs
from workers import redaction, settings


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_pattern", None)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://mlflow:correct-horse@db:5432/mlflow",
        "redis://:correct-horse@redis:6379/0",
        "xoxb-123456789012-abcdef",
        "xapp-1-A0123-456-abcdef",
        "AKIAABCDEFGHIJKLMNOP",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "-----BEGIN PRIVATE KEY-----\nMIIEcorrect-horse\n-----END PRIVATE KEY-----",
    ],
)
def test_what_has_a_secrets_shape_is_blotted_out(text):
    shown = redaction.without_secrets(f"before {text} after")
    assert "***" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    for part in ("correct-horse", "abcdef", "ABCDEFGHIJKLMNOP", "eyJzdWIi"):
        assert part not in shown


def test_what_the_environment_holds_is_blotted_out_wherever_it_turns_up():
    settings.load(
        {
            "SLACK_SIGNING_SECRET": "of-the-signature",
            "AWS_SECRET_ACCESS_KEY": "of+the/store",
            "AWS_ACCESS_KEY_ID": "not-a-secret",
            "MLFLOW_OPS_DATABASE_URL": "postgresql://mlflow:of%2Fthe%40database@db/mlflow",
        }
    )
    shown = redaction.without_secrets(
        "of-the-signature of+the/store of%2Bthe%2Fstore of/the@database of%2Fthe%40database not-a-secret"
    )
    assert shown == "*** *** *** *** *** not-a-secret"


def test_a_name_that_is_called_a_secret_stays_readable_in_our_own_sentences():
    assert redaction.without_secrets("TLS secret: mlflow-tls") == "TLS secret: mlflow-tls"
    assert redaction.redacted("password=hunter2 token: abc") == "password=*** token: ***"


def test_data_keeps_its_shape():
    redaction.remember(["hunter22"])
    value = {"text": "hunter22", "blocks": [{"n": 1, "t": ["x hunter22", None, True]}]}
    assert redaction.cleaned(value) == {"text": "***", "blocks": [{"n": 1, "t": ["x ***", None, True]}]}


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_log_lines_and_tracebacks_pass_the_filter(log_format, capsys):
    redaction.remember(["correct-horse"])
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure(log_format)
        try:
            int("cannot log in with correct-horse")
        except ValueError:
            logging.getLogger("some.library").exception("failed at p://u:correct-horse@h")
    finally:
        root.handlers[:], root.level = handlers, level
    said = capsys.readouterr().err
    assert "cannot log in with ***" in said
    assert "correct-horse" not in said
    if log_format == "json":
        assert json.loads(said.splitlines()[-1])["level"] == "error"
