"""A restore has what a backup has."""

from tests.workers.operations.backup.conftest import (  # noqa: F401 - fixtures
    buckets,
    database_url,
    environ,
    filled,
    progress,
    progress_that,
    s3,
    systems,
)
