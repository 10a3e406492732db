"""The tests of workers.operations.restore.test_run_or_experiment on rclone's store."""

import pytest

from tests.workers.operations.restore.test_run_or_experiment import *  # noqa: F403 - each of its tests, with its fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
