"""The tests of workers.operations.backup.artifacts.test_copying on rclone's store."""

import pytest

from tests.workers.operations.backup.artifacts.test_copying import *  # noqa: F403 - each of its tests, with its fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# It refuses keys with a slash at their beginning, or two in a row.
del test_every_artifact_is_there_whatever_its_key  # noqa: F821
# It keeps no tags: what asks for an object's is answered 500.
del test_content_type_metadata_and_tags_stay  # noqa: F821
del test_between_two_stores_the_bytes_are_streamed_with_all_that_belongs_to_them  # noqa: F821
# It copies no parts of objects.
del test_above_the_threshold_the_store_copies_in_parts  # noqa: F821
