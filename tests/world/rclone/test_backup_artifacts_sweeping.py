"""The tests of workers.operations.backup.artifacts.test_sweeping on rclone's store."""

import pytest

from tests.workers.operations.backup.artifacts.test_sweeping import *  # noqa: F403 - each of its tests, with its fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
