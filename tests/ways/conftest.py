"""Whole ways of the product: typed into the page, done in the sandbox, read in the thread."""

import psycopg
import pytest

from mlflow_ops_sandbox.fixtures import browser, open_page
from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL, PEOPLE
from mlflow_ops_sandbox.slack.client import SlackPerson, words

__all__ = ["browser", "open_page"]

SECONDS = 90
"""A plan may start a pod of an image, on a machine that does other things."""


@pytest.fixture
def locked_table(sandbox):
    """A table that pg_dump has to wait for; gone with the test, or when told."""
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE registered_model_aliases IN ACCESS EXCLUSIVE MODE")
        yield connection


@pytest.fixture(scope="module")
def people(sandbox):
    """Everybody in the workspace, by name."""
    return {person["name"]: SlackPerson(sandbox.slack_url, person["id"]) for person in PEOPLE}


@pytest.fixture(scope="module")
def vera(people):
    """She may look, and no more."""
    return people["vera"]


@pytest.fixture(scope="module")
def omar(people):
    """He is an operator."""
    return people["omar"]


@pytest.fixture(scope="module")
def ada(people):
    """She approves."""
    return people["ada"]


@pytest.fixture(scope="module")
def ben(people):
    """He approves, too."""
    return people["ben"]


@pytest.fixture
def asked(omar):
    """A command of omar's that waits for approval: its root message."""

    def asked(text):
        before = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
        assert omar.command(OPS_CHANNEL, f"/mlflow {text}").ok

        def waiting():
            fresh = [message for message in omar.messages(OPS_CHANNEL) if message["ts"] not in before]
            return next((message for message in fresh if "Waiting for approval" in words(message)), None)

        return omar.wait_for(waiting, deadline=SECONDS)

    return asked
