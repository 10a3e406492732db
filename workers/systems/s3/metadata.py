"""What the object store says of its objects, as values."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from workers.systems.s3 import attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.systems.s3.requests import Answer

_MOVED_WITH: Final = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Metadata",
    "WebsiteRedirectLocation",
)
_META: Final = "x-amz-meta-"
_HEADERS: Final = {
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language",
    "ContentType": "content-type",
    "WebsiteRedirectLocation": "x-amz-website-redirect-location",
    "ContentLength": "content-length",
    "ETag": "etag",
}
_DEFAULT_CLASS: Final = "STANDARD"


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing names it. etag: without quotes. last_modified: ISO 8601, UTC.

    bucket: where it is in another bucket than the one that is meant. storage_class: empty for the store's default.
    """

    key: str
    size: int
    etag: str
    last_modified: str
    bucket: str = ""
    storage_class: str = ""

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Listed:
        """From one of ListObjectsV2's Contents."""
        kind = str(item.get("StorageClass") or "")
        return cls(
            str(item["Key"]),
            int(item["Size"]),
            bare(item.get("ETag")),
            _iso(item["LastModified"]),
            storage_class="" if kind == _DEFAULT_CLASS else kind,
        )


@dataclass(frozen=True, slots=True)
class Described:
    """An object as HEAD describes it. moves: what must be set for a copy to be like it.

    tags: how many it has; None where the store does not say. attributes: what its copy will not have (attributes.py).
    """

    size: int
    etag: str
    last_modified: str
    moves: dict[str, Any]
    tags: int | None
    attributes: dict[str, str]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Described:
        """From what HeadObject or GetObject answers."""
        moves = {name: answer[name] for name in _MOVED_WITH if answer.get(name)}
        # Header names have no case, and not every store gives them back as they were written.
        if "Metadata" in moves:
            moves["Metadata"] = {name.lower(): value for name, value in moves["Metadata"].items()}
        # "Expires" is parsed, and dropped where it is no date; the text that was stored is beside it.
        if answer.get("ExpiresString"):
            moves["Expires"] = answer["ExpiresString"]
        if moves.get("ContentType") == "binary/octet-stream":
            del moves["ContentType"]
        # GET says how many tags there are (and nothing where there are none); HEAD does not say on every store.
        tags = answer.get("TagCount", 0 if "Body" in answer else None)
        size, modified = int(answer["ContentLength"]), _iso(answer["LastModified"])
        headers = (answer.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
        return cls(size, bare(answer.get("ETag")), modified, moves, tags, attributes.of(headers))

    @classmethod
    def by_headers(cls, headers: Mapping[str, str]) -> Described:
        """From the headers of what GetObject answers: names in lower case."""
        answer: dict[str, Any] = {name: headers[header] for name, header in _HEADERS.items() if header in headers}
        metadata = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
        answer |= {"Metadata": metadata, "ExpiresString": headers.get("expires", "")}
        answer |= {"LastModified": parsedate_to_datetime(headers["last-modified"])}
        whole = headers.get("content-range", "").rpartition("/")[2]
        answer |= {"ContentLength": whole} if whole.isdecimal() else {}
        answer |= {"ResponseMetadata": {"HTTPHeaders": headers}}
        return cls.of(answer | {"TagCount": int(headers.get("x-amz-tagging-count", 0))})


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """A copy within one store: the object `key` of `source`, as long as its etag is this, to `name` in `target`.

    etag: empty where any will do. version: of the object where it is not the newest.
    """

    source: str
    key: str
    target: str
    name: str
    etag: str
    version: str = ""

    @property
    def of_version(self) -> dict[str, str]:
        """How the calls of S3's client name the version; nothing for the newest."""
        return {"VersionId": self.version} if self.version else {}


@dataclass(frozen=True, slots=True)
class Made:
    """A copy that was made. sha256: as the store computed it, in hexadecimal, or empty.

    sealed: the store encrypts it in a way that makes its ETag something else than a digest. part_bytes: the length
    of its parts where it was made of parts; sha256 is then over the parts' digests.
    """

    etag: str
    sha256: str = ""
    sealed: bool = False
    part_bytes: int = 0

    @classmethod
    def of(cls, answer: Mapping[str, Any], *, part_bytes: int = 0) -> Made:
        """From what PutObject or CompleteMultipartUpload answers."""
        kms = str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")
        sealed = kms or bool(answer.get("SSECustomerAlgorithm"))
        return cls(bare(answer.get("ETag")), "", sealed, part_bytes)

    @classmethod
    def by_put(cls, answer: Answer) -> Made:
        """From the headers of what PutObject answers."""
        told = {
            "ETag": answer.headers.get("etag", ""),
            "ServerSideEncryption": answer.headers.get("x-amz-server-side-encryption", ""),
            "SSECustomerAlgorithm": answer.headers.get("x-amz-server-side-encryption-customer-algorithm", ""),
        }
        return cls.of(told)

    @classmethod
    def by_copy(cls, answer: Answer) -> Made:
        """From what CopyObject answers."""
        sha256 = answer.named("ChecksumSHA256")
        sealed = answer.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
        # "-" stands before the number of parts: that is no digest of the bytes.
        digest = base64.b64decode(sha256).hex() if sha256 and "-" not in sha256 else ""
        return cls(bare(answer.named("ETag")), digest, sealed)


@dataclass(frozen=True, slots=True)
class Pending:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload: str
    since: datetime


def bare(etag: object) -> str:
    """An entity tag without its quotes."""
    return str(etag or "").strip('"')


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
