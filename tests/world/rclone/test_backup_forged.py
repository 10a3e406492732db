"""The tests of workers.operations.backup.test_forged on rclone's store."""

import pytest

from tests.workers.operations.backup.test_forged import *  # noqa: F403 - each of its tests, with its fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# The folder's own is meant.
del store  # noqa: F821
