"""The tests of workers.operations.restore.test_artifacts on rclone's store."""

import pytest

from tests.workers.operations.restore.test_artifacts import *  # noqa: F403 - each of its tests, with its fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# It keeps no versions.
del test_exact_removes_only_where_versions_are_kept  # noqa: F821
