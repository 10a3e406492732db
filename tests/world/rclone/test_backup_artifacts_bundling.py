"""The tests of workers.operations.backup.artifacts.test_bundling on rclone's store."""

import pytest

from tests.workers.operations.backup.artifacts.test_bundling import *  # noqa: F403 - each of its tests, with its fixtures
from workers.systems.s3 import attributes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# It keeps no tags: what asks for an object's is answered 500.
del test_content_type_metadata_and_tags_stay_with_what_is_kept_together  # noqa: F821


def test_it_has_no_acls(place):
    assert attributes.acls(place.objects, place.source) == ""
