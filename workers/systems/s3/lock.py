"""Object Lock: a version of an object that nobody can remove until a time has come, or while a legal hold is on it.

Traps this avoids: a plain DELETE succeeds on a locked object, and only hides it behind a marker: what is locked is the
version. A store may take the words of a multipart upload without heeding them, so they are looked at afterwards, and
said again. (S3 user guide, Object Lock; API_PutObjectRetention.)
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from workers.systems.errors import AccessDenied

if TYPE_CHECKING:
    from workers.systems.s3.objects import Objects

FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_VERSIONS_AT_MOST: Final = 100


@dataclass(frozen=True)
class Lock:
    """How and until when. mode: GOVERNANCE, which some may lift, or COMPLIANCE, which nobody can. until: UTC."""

    mode: str
    until: datetime

    @property
    def moment(self) -> str:
        """Until when, as ISO 8601: of two, the later one sorts behind."""
        return self.until.astimezone(UTC).strftime(FORMAT)

    @property
    def headers(self) -> dict[str, str]:
        """For a request that writes an object."""
        return {"x-amz-object-lock-mode": self.mode, "x-amz-object-lock-retain-until-date": self.moment}

    @property
    def parameters(self) -> dict[str, Any]:
        """For boto3's calls that write an object."""
        return {"ObjectLockMode": self.mode, "ObjectLockRetainUntilDate": self.moment}


def retain(objects: Objects, bucket: str, key: str, lock: Lock) -> None:
    """Lock the object as it is now, or for longer. Raises ObjectsError."""
    wanted = {"Mode": lock.mode, "RetainUntilDate": lock.until}
    objects.ask(lambda: objects.client.put_object_retention(Bucket=bucket, Key=key, Retention=wanted), bucket)


def locked(objects: Objects, bucket: str, key: str) -> bool:
    """Whether the object as it is now has a retention. Raises ObjectsError."""
    return bool(objects.ask(lambda: objects.client.head_object(Bucket=bucket, Key=key), bucket).get("ObjectLockMode"))


def hold(objects: Objects, bucket: str, key: str, *, on: bool) -> None:
    """Put a legal hold on the object as it is now, or lift it. Raises ObjectsError."""
    status = {"Status": "ON" if on else "OFF"}
    objects.ask(lambda: objects.client.put_object_legal_hold(Bucket=bucket, Key=key, LegalHold=status), bucket)


def write(objects: Objects, bucket: str, key: str, body: bytes, lock: Lock | None) -> str:
    """Write a small object, locked if `lock` says so: its version. Raises ObjectsError.

    Object Lock asks for a checksum (API_PutObject), and MD5 is the one that every store knows.
    """
    md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    asked = {"Bucket": bucket, "Key": key, "Body": body, "ContentMD5": md5, **(lock.parameters if lock else {})}
    return str(objects.ask(lambda: objects.client.put_object(**asked), bucket).get("VersionId") or "")


def try_out(objects: Objects, bucket: str, key: str, lock: Lock) -> str:
    """Why a locked object can be removed all the same, found by trying; empty where it cannot. Raises ObjectsError.

    What is written stays until `lock` is over; what earlier tries have left is removed then.
    """
    body = b"a locked object, written by mlflow-ops check"
    _tidy(objects, bucket, key)
    version = write(objects, bucket, key, body, lock)
    if not version:
        return "the bucket keeps no versions"
    try:
        objects.ask(lambda: objects.client.delete_object(Bucket=bucket, Key=key, VersionId=version), bucket)
    except AccessDenied:
        return ""
    return "the store removed a locked object when it was asked to"


def _tidy(objects: Objects, bucket: str, key: str) -> None:
    asked = {"Bucket": bucket, "Prefix": key, "MaxKeys": _VERSIONS_AT_MOST}
    page = objects.ask(lambda: objects.client.list_object_versions(**asked), bucket)
    now = datetime.now(UTC)
    for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
        if each["Key"] != key or each["LastModified"] > now:
            continue
        gone = {"Bucket": bucket, "Key": key, "VersionId": each["VersionId"]}
        try:
            objects.ask(lambda gone=gone: objects.client.delete_object(**gone), bucket)  # type: ignore[misc]
        except AccessDenied:
            continue
