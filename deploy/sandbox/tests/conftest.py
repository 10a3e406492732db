"""One sandbox for the tests of the whole, and the fixtures that those of the product share."""

import pytest

from mlflow_ops_sandbox import testing
from mlflow_ops_sandbox.fixtures import browser, open_page, start_sandbox, start_sandbox_once

__all__ = ["browser", "open_page", "start_sandbox", "start_sandbox_once"]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    """The sandbox that the tests of the whole share."""
    started = testing.start(tmp_path_factory.mktemp("sandbox") / "data")
    yield started
    testing.remove(started)
