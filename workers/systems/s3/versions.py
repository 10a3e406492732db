"""The versions that a bucket has kept of its objects, key by key, and for how long it keeps them.

A deletion is a version too (a delete marker): an object whose newest version is one is not there. Times are the
store's, to a second on AWS; for an upload in parts, that of its beginning (S3 user guide, versioning workflows).
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore import exceptions as boto

from workers.systems.errors import Nonsense, ObjectsError
from workers.systems.s3.listing import VERSION, element, query_of
from workers.systems.s3.metadata import bare

if TYPE_CHECKING:
    from workers.systems.s3.objects import Objects
    from workers.systems.s3.requests import Answer
    from workers.systems.s3.transfer import Transfer

_NO_RULES: Final = {"NoSuchLifecycleConfiguration", "NoSuchLifecycle", "NotImplemented", "404"}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or, where `deleted`, its deletion."""

    id: str
    at: datetime
    size: int = 0
    etag: str = ""
    deleted: bool = False


def histories(transfer: Transfer, bucket: str, prefix: str = "") -> Iterator[tuple[str, list[Version]]]:
    """Each key with its versions, the newest first, in the order of the keys. Raises ObjectsError, Nonsense."""
    asked = {"max-keys": "1000", "versions": ""} | ({"prefix": prefix} if prefix else {})
    current, versions = "", list[Version]()
    while True:
        send = partial(transfer.calls.send, "ListObjectVersions", "GET", bucket, "", {}, query=query_of(asked))
        answer = transfer.objects.ask(send, bucket)
        for key, version in _page(answer):
            if key != current and versions:
                yield current, versions
                versions = []
            current = key
            versions.append(version)
        if answer.named("IsTruncated") != "true":
            break
        marks = {"key-marker": answer.named("NextKeyMarker"), "version-id-marker": answer.named("NextVersionIdMarker")}
        if not marks["key-marker"] or marks.items() <= asked.items():
            raise transfer.objects.stuck(bucket)
        asked |= marks
    if versions:
        yield current, versions


def _page(answer: Answer) -> list[tuple[str, Version]]:
    """In the order of S3. A store may list deletions behind all versions; what was within a second stays as listed."""
    if "<ListVersionsResult" not in answer.body:
        raise Nonsense("The object store answered a listing that is not S3's.", "Check AWS_ENDPOINT_URL_S3.")
    found = [
        (
            html.unescape(element(inner, "Key")),
            Version(
                html.unescape(element(inner, "VersionId")),
                datetime.fromisoformat(element(inner, "LastModified")).astimezone(UTC),
                int(element(inner, "Size") or 0),
                bare(html.unescape(element(inner, "ETag"))),
                kind == "DeleteMarker",
            ),
            element(inner, "IsLatest") != "true",
        )
        for kind, inner in VERSION.findall(answer.body)
    ]
    found.sort(key=lambda one: (one[0].encode(), one[2], -one[1].at.timestamp()))
    return [(key, version) for key, version, _ in found]


def as_at(versions: list[Version], at: datetime) -> Version | None:
    """What was there at a moment, of versions that begin with the newest; None where nothing was."""
    found = next((each for each in versions if each.at <= at), None)
    return None if found is None or found.deleted else found


def kept_days(objects: Objects, bucket: str) -> int | None:
    """After how many days the bucket's rules remove what was replaced or deleted, at the earliest; None where never.

    Of all rules, whatever part of the bucket they are for. Raises ObjectsError where the rules cannot be read.
    """

    def fetch() -> list[dict[str, Any]]:
        try:
            answer = objects.client.get_bucket_lifecycle_configuration(Bucket=bucket)
        except boto.ClientError as error:
            if error.response["Error"]["Code"] not in _NO_RULES:
                raise
            return []
        return list(answer.get("Rules", ()))

    try:
        rules = objects.ask(fetch, bucket)
    except ObjectsError as error:
        raise ObjectsError(f"The lifecycle rules of s3://{bucket} can't be read: {error.message}", error.hint) from None
    days = [
        int(rule["NoncurrentVersionExpiration"].get("NoncurrentDays", 0))
        for rule in rules
        if rule.get("Status") == "Enabled" and rule.get("NoncurrentVersionExpiration")
    ]
    return min(days, default=None)
