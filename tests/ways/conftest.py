"""Whole ways of the product: typed into the page, done in the sandbox, read in the thread."""

import psycopg
import pytest

from mlflow_ops_sandbox.fixtures import browser, open_page

__all__ = ["browser", "open_page"]


@pytest.fixture
def locked_table(sandbox):
    """A table that pg_dump has to wait for; gone with the test, or when told."""
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE registered_model_aliases IN ACCESS EXCLUSIVE MODE")
        yield connection
