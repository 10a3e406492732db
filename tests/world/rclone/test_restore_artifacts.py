"""The tests of workers.operations.restore.test_artifacts on rclone's store."""

import pytest

from tests.workers.operations.restore.test_artifacts import *  # noqa: F403 - each of its tests, with its fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
