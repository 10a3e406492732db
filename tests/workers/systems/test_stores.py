"""Stores that do not do as S3 does: each is told in a sentence, and none keeps us for ever."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from botocore.exceptions import ClientError

from workers import settings
from workers.settings import SettingsError
from workers.systems.errors import Nonsense
from workers.systems.s3.listing import Lister
from workers.systems.s3.objects import Objects
from workers.systems.s3.transfer import Transfer

PAGE = """<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated>
<NextContinuationToken>{token}</NextContinuationToken>
<Contents><Key>a/1</Key><Size>1</Size><ETag>"0"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>
<Contents><Key>a/2</Key><Size>1</Size><ETag>"0"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>
<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes></ListBucketResult>"""


class SamePage:
    """What the store answers, each time that it is asked."""

    def __init__(self, new_tokens):
        self.asked = 0
        self.new_tokens = new_tokens

    def __iter__(self):
        self.asked += 1
        return iter((200, PAGE.format(token=self.asked if self.new_tokens else "same").encode()))


@pytest.fixture
def again(http, monkeypatch):
    """Makes a store whose listing has one page, again and again, with the same token or new ones."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")

    def make(*, new_tokens=True):
        http.default = SamePage(new_tokens)
        return Objects.connect(settings.load({"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{http.port}"}))

    return make


WALKS = {
    "items": lambda objects, transfer: list(transfer.items("b")),
    "folders": lambda objects, transfer: list(objects.folders("b", "")),
    "pages": lambda objects, transfer: list(Lister(transfer, "b").pages(2)),
}


@pytest.mark.parametrize("new_tokens", [False, True])
@pytest.mark.parametrize("walk", WALKS)
def test_a_listing_that_does_not_move_on_is_an_error_after_a_page(walk, new_tokens, again, http):
    objects = again(new_tokens=new_tokens)
    with Transfer.of(objects, 4) as transfer, pytest.raises(Nonsense, match="lists the same page of b again and again"):
        WALKS[walk](objects, transfer)
    assert http.default.asked <= 6


@pytest.mark.parametrize(
    ("minutes", "words"), [(-20, "20 min ahead of its own"), (17, "17 min behind its own"), (None, "too far apart")]
)
def test_a_clock_that_is_wrong_is_told_as_that_with_how_much(minutes, words, again):
    now = datetime.now(UTC)
    date = {"date": format_datetime(now + timedelta(minutes=minutes))} if minutes else {}
    error = ClientError(
        {
            "Error": {"Code": "RequestTimeTooSkewed"},
            "ResponseMetadata": {"HTTPStatusCode": 403, "HTTPHeaders": date},
        },
        "GetObject",
    )
    said = again()._refusal(error, "b").message
    assert words in said
    assert "credentials" not in said


def test_of_two_buckets_the_one_that_the_store_means_is_named(again):
    error = ClientError(
        {"Error": {"Code": "NoSuchBucket", "BucketName": "backups"}, "ResponseMetadata": {"HTTPStatusCode": 404}},
        "CopyObject",
    )
    assert again()._refusal(error, "artifacts or backups").message.endswith("has no bucket backups.")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}, "MLFLOW_OPS_BACKUP_S3_ENDPOINT_URL is not"),
        ({"SECRET_ACCESS_KEY": "b"}, "MLFLOW_OPS_BACKUP_S3_ENDPOINT_URL is not"),
        ({"ENDPOINT_URL": "http://s:1", "ACCESS_KEY_ID": "a"}, "MLFLOW_OPS_BACKUP_S3_SECRET_ACCESS_KEY is not"),
        ({"ENDPOINT_URL": "http://s:1", "SECRET_ACCESS_KEY": "b"}, "MLFLOW_OPS_BACKUP_S3_ACCESS_KEY_ID is not"),
    ],
)
def test_half_a_store_for_the_backups_is_refused(given, words):
    with pytest.raises(SettingsError, match=words):
        settings.load({f"MLFLOW_OPS_BACKUP_S3_{name}": value for name, value in given.items()})
    settings.load({"MLFLOW_OPS_BACKUP_S3_ENDPOINT_URL": "http://s:1"})
