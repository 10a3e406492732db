"""The object store for very many and very large objects: listed, copied, streamed and removed in constant memory.

Everything here may be repeated, and is, where the store fails for a moment. A copy is always of the object that was
listed: its entity tag goes with the request. Nothing is written by anything else than one PUT or one completed
multipart upload, so an object is whole or is not there.

Traps this avoids: an ETag is the MD5 of the bytes only for an object that was put in one piece, and not where the
store encrypts with keys of its own; DeleteObjects sends a checksum that older stores refuse; a body that breaks off
half way is no error of the call that began it.
"""

from __future__ import annotations

import base64
import hashlib
import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote, urlencode

from botocore import exceptions as boto

from workers.systems.errors import ObjectMissing, ObjectsError, ObjectsUnreachable
from workers.systems.s3.objects import BULK_ATTEMPTS, Objects
from workers.systems.s3.requests import SignedCalls

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
COPY_AT_MOST: Final = 5 * GIB
"""CopyObject's limit (API_CopyObject); above it, UploadPartCopy."""
PARTS_AT_MOST: Final = 10_000
"""Parts of a multipart upload (S3 user guide, qfacts)."""
PART_AT_LEAST: Final = 5 * MIB
"""Of all parts but the last (S3 user guide, qfacts)."""
DELETE_AT_MOST: Final = 1000
"""Keys in one DeleteObjects (API_DeleteObjects)."""
_CHUNK: Final = MIB
_READERS: Final = 4
_PARTS_AT_ONCE: Final = 4
_UNKNOWN_FEATURE: Final = {"NotImplemented", "InvalidRequest", "InvalidArgument", "MissingContentMD5"}
_MOVED_WITH: Final = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Metadata",
    "WebsiteRedirectLocation",
)


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing names it. etag: without quotes. last_modified: ISO 8601, UTC."""

    key: str
    size: int
    etag: str
    last_modified: str


@dataclass(frozen=True, slots=True)
class Described:
    """An object as HEAD describes it. moves: what must be set for a copy to be like it.

    tags: how many it has; None where the store does not say.
    """

    size: int
    etag: str
    last_modified: str
    moves: dict[str, Any]
    tags: int | None


@dataclass(frozen=True, slots=True)
class Way:
    """A copy within one store: the object `key` of `source`, as long as its etag is this, to `name` in `target`.

    etag: empty where any will do.
    """

    source: str
    key: str
    target: str
    name: str
    etag: str


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


@dataclass(frozen=True, slots=True)
class Pending:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload: str
    since: datetime


@dataclass(frozen=True)
class Bulk:
    """Safe for threads. Methods raise ObjectsError or Nonsense; close it after use."""

    objects: Objects
    calls: SignedCalls
    stopping: threading.Event = field(default_factory=threading.Event)
    _plain: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, objects: Objects, at_once: int) -> Bulk:
        """Bulk work on that store by so many threads."""
        patient = objects.for_bulk(at_once + _READERS)
        stopping = threading.Event()
        return cls(patient, SignedCalls(patient, at_once=at_once, attempts=BULK_ATTEMPTS, stopping=stopping), stopping)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stopping.set()
        self.calls.close()

    def same_store(self, other: Bulk) -> bool:
        """Whether objects can be copied between the two by the store itself."""
        return str(self.objects.client.meta.endpoint_url) == str(other.objects.client.meta.endpoint_url)

    def items(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[Listed]:
        """All objects under `prefix` whose keys come after `after`, in the order of their keys' UTF-8.

        Raises ObjectsError where the store lists in another order: whoever walks two listings relies on it.
        """
        last = after
        token = ""
        while True:
            query = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1000}
            if token:
                query["ContinuationToken"] = token
            elif after:
                query["StartAfter"] = after
            page = self._ask(partial(self.objects.client.list_objects_v2, **query), bucket)
            for item in page.get("Contents") or ():
                key = str(item["Key"])
                if key < last:
                    msg = f"The object store at {self.objects.address} does not list {bucket} in the order of its keys."
                    raise ObjectsError(msg, "Backups need a general purpose bucket: directory buckets are not sorted.")
                last = key
                yield Listed(key, int(item["Size"]), _bare(item.get("ETag")), _iso(item["LastModified"]))
            if not page.get("IsTruncated"):
                return
            token = page["NextContinuationToken"]

    def describe(self, bucket: str, key: str, etag: str = "") -> Described:
        """An object's description. Raises ObjectMissing; ObjectChanged where it is not the one with `etag`."""
        query = {"Bucket": bucket, "Key": key} | ({"IfMatch": f'"{etag}"'} if etag else {})
        return _described(self._ask(lambda: self.objects.client.head_object(**query), bucket))

    def copy(self, way: Way) -> Made:
        """Let the store copy an object: bytes, metadata and tags.

        Raises ObjectMissing, or ObjectChanged where the store says so. (One that ignores conditions shows the change
        in the etag of what it has made.)
        """
        headers = {"x-amz-copy-source": quote(f"{way.source}/{way.key}", safe="/~")}
        if way.etag:
            headers["x-amz-copy-source-if-match"] = f'"{way.etag}"'
        send = partial(self.calls.send, "CopyObject", "PUT", way.target, way.name)
        if not self._plain.is_set():
            try:
                answer = send(headers | {"x-amz-checksum-algorithm": "SHA256"})
            except boto.ClientError as error:
                if error.response["Error"]["Code"] not in _UNKNOWN_FEATURE:
                    raise self._sentence(error, way.source) from None
                self._plain.set()
            except boto.BotoCoreError as error:
                raise self._sentence(error, way.source) from None
            else:
                return _made(answer.named("ETag"), answer.named("ChecksumSHA256"), answer.headers)
        answer = self._ask(lambda: send(headers), way.source)
        return _made(answer.named("ETag"), answer.named("ChecksumSHA256"), answer.headers)

    def copy_in_parts(self, way: Way, part_bytes: int) -> Made:
        """The same for an object of any size, by multipart upload; nothing is left of one that fails."""
        described = self.describe(way.source, way.key, way.etag)
        way = replace(way, etag=described.etag)
        part_bytes = max(part_bytes, math.ceil(described.size / PARTS_AT_MOST))
        moves = described.moves | self.tags(way.source, way.key, described)
        with Upload(self, way.target, way.name, part_bytes, moves) as upload:

            def part(number: int) -> None:
                first = (number - 1) * part_bytes
                last = min(first + part_bytes, described.size) - 1
                upload.copy_part(number, way, first, last)

            with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
                for done in [pool.submit(part, n + 1) for n in range(math.ceil(described.size / part_bytes))]:
                    done.result()
            return upload.complete()

    def tags(self, bucket: str, key: str, described: Described) -> dict[str, str]:
        """The object's tags as a new object takes them; nothing is asked where it has none."""
        if described.tags == 0:
            return {}
        answer = self._ask(lambda: self.objects.client.get_object_tagging(Bucket=bucket, Key=key), bucket)
        found = urlencode([(tag["Key"], tag["Value"]) for tag in answer["TagSet"]])
        return {"Tagging": found} if found else {}

    def open(self, bucket: str, key: str, etag: str = "") -> tuple[Described, Iterator[bytes]]:
        """An object's description and its bytes, piece by piece; it goes on where a connection breaks off.

        Raises ObjectMissing, and ObjectChanged where it is another object, then or half way.
        """
        query: dict[str, Any] = {"Bucket": bucket, "Key": key} | ({"IfMatch": f'"{etag}"'} if etag else {})
        answer = self._ask(lambda: self.objects.client.get_object(**query), bucket)
        return _described(answer), self._pieces(query, answer)

    def _pieces(self, query: dict[str, Any], answer: dict[str, Any]) -> Iterator[bytes]:
        size, etag = int(answer["ContentLength"]), answer["ETag"]
        at, failures = 0, 0
        while True:
            body = answer["Body"]
            try:
                with body:
                    while piece := body.read(_CHUNK):
                        at += len(piece)
                        failures = 0
                        yield piece
            except (boto.HTTPClientError, boto.IncompleteReadError) as error:
                failures += 1
                if failures == BULK_ATTEMPTS:
                    raise self._sentence(error, query["Bucket"]) from None
            if at >= size:
                return
            again = query | {"Range": f"bytes={at}-", "IfMatch": etag}
            answer = self._ask(partial(self.objects.client.get_object, **again), query["Bucket"])

    def tail(self, bucket: str, key: str, at_most: int) -> bytes:
        """The last bytes of an object."""

        def fetch() -> bytes:
            with self.objects.client.get_object(Bucket=bucket, Key=key, Range=f"bytes=-{at_most}")["Body"] as body:
                content: bytes = body.read()
            return content

        return self._ask(fetch, bucket)

    def put(self, bucket: str, key: str, body: bytes | bytearray, moves: dict[str, Any] | None = None) -> Made:
        """Write an object in one piece."""
        call = partial(self.objects.client.put_object, Bucket=bucket, Key=key, Body=body, **(moves or {}))
        answer = self._ask(call, bucket)
        return Made(_bare(answer.get("ETag")), "", _sealed(answer))

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete objects; that one is not there is no error."""
        for first in range(0, len(keys), DELETE_AT_MOST):
            self._delete(bucket, keys[first : first + DELETE_AT_MOST])

    def _delete(self, bucket: str, keys: Sequence[str]) -> None:
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        client = self.objects.client

        def together() -> list[dict[str, str]]:
            try:
                return client.delete_objects(Bucket=bucket, Delete=wanted).get("Errors") or []
            except boto.ClientError as error:
                if error.response["Error"]["Code"] not in _UNKNOWN_FEATURE:
                    raise
                return [{"Key": key} for key in keys]

        for left in self._ask(together, bucket):
            # What is refused is told by the single call, in a sentence of its own.
            self._ask(partial(client.delete_object, Bucket=bucket, Key=left["Key"]), bucket)

    def uploads(self, bucket: str, prefix: str) -> Iterator[Pending]:
        """The multipart uploads under way under `prefix`."""
        query: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            page = self._ask(partial(self.objects.client.list_multipart_uploads, **query), bucket)
            for item in page.get("Uploads") or ():
                yield Pending(item["Key"], item["UploadId"], item["Initiated"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return
            query |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """Give up a multipart upload and free its parts; that it is not there is no error."""

        def call() -> None:
            try:
                self.objects.client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            except boto.ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchUpload":
                    raise

        self._ask(call, bucket)

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self.describe(bucket, key)
        except ObjectMissing:
            return False
        return True

    def _ask(self, call: Callable[[], T], bucket: str) -> T:
        return self.objects.ask(call, bucket)

    def _sentence(self, error: Exception, bucket: str) -> ObjectsError:
        def fail() -> None:
            raise error

        try:
            self._ask(fail, bucket)
        except ObjectsError as found:
            return found
        return ObjectsUnreachable(f"The object store at {self.objects.address} broke off in the middle of its answer.")


class Upload:
    """A multipart upload as a context: aborted unless completed within it."""

    def __init__(self, bulk: Bulk, bucket: str, key: str, part_bytes: int, moves: dict[str, Any]) -> None:
        """part_bytes: the length of all parts but the last. moves: metadata, content type, tags."""
        self._bulk = bulk
        self._client = bulk.objects.client
        self._bucket = bucket
        self._key = key
        self._part_bytes = part_bytes
        self._moves = moves
        self._id = ""
        self._parts: dict[int, str] = {}
        self._digests: dict[int, str] = {}

    def __enter__(self) -> Self:
        call = partial(self._client.create_multipart_upload, Bucket=self._bucket, Key=self._key, **self._moves)
        self._id = self._bulk.objects.ask(call, self._bucket)["UploadId"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._id:
            try:
                self._bulk.abort(self._bucket, self._key, self._id)
            except ObjectsError:
                # What has failed already says why; the sweep aborts what is left.
                if error is None:
                    raise

    def part(self, number: int, body: bytes | bytearray) -> None:
        """Write one part; numbers begin at 1."""
        call = partial(self._client.upload_part, **self._place(number), Body=body)
        self._parts[number] = self._bulk.objects.ask(call, self._bucket)["ETag"]

    def copy_part(self, number: int, way: Way, first: int, last: int) -> None:
        """Let the store copy the source's bytes `first` to `last` as one part."""
        call = partial(
            self._client.upload_part_copy,
            **self._place(number),
            CopySource={"Bucket": way.source, "Key": way.key},
            CopySourceIfMatch=f'"{way.etag}"',
            CopySourceRange=f"bytes={first}-{last}",
        )
        result = self._bulk.objects.ask(call, self._bucket)["CopyPartResult"]
        self._parts[number] = result["ETag"]

    def complete(self) -> Made:
        """Put the parts together."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(self._parts.items())]
        call = partial(
            self._client.complete_multipart_upload,
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._id,
            MultipartUpload={"Parts": parts},
        )

        def finish() -> dict[str, Any]:
            try:
                answer: dict[str, Any] = call()
            except boto.ClientError as error:
                # Where the answer to the first attempt was lost, the second finds the upload completed.
                if error.response["Error"]["Code"] != "NoSuchUpload":
                    raise
                answer = self._client.head_object(Bucket=self._bucket, Key=self._key)
                if not _bare(answer["ETag"]).endswith(f"-{len(parts)}"):
                    raise
            return answer

        answer = self._bulk.objects.ask(finish, self._bucket)
        self._id = ""
        return Made(_bare(answer.get("ETag")), "", _sealed(answer), self._part_bytes)

    def _place(self, number: int) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._key, "UploadId": self._id, "PartNumber": number}


class Writer:
    """A new object written as a stream: one PUT where it is small, parts where it is not.

    A context: nothing is left of it unless `close` was reached. sha256 and size are those of the bytes written.
    """

    def __init__(
        self, bulk: Bulk, bucket: str, key: str, *, part_bytes: int = PART_AT_LEAST, moves: dict[str, Any] | None = None
    ) -> None:
        """moves: metadata, content type, tags."""
        self._bulk = bulk
        self._place = (bucket, key)
        self._part_bytes = part_bytes
        self._moves = moves or {}
        self._waiting = bytearray()
        self._upload: Upload | None = None
        self._number = 0
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._upload:
            self._upload.__exit__(kind, error, at)

    @property
    def sha256(self) -> str:
        """Of all that was written, in hexadecimal."""
        return self._hash.hexdigest()

    def write(self, piece: bytes) -> None:
        """Add to the object."""
        self._hash.update(piece)
        self.size += len(piece)
        rest = memoryview(piece)
        while rest:
            room = self._part_bytes - len(self._waiting)
            self._waiting += rest[:room]
            rest = rest[room:]
            if len(self._waiting) == self._part_bytes:
                self._send()

    def close(self) -> Made:
        """The object is whole: let it be there."""
        if self._upload is None:
            return self._bulk.put(*self._place, self._waiting, self._moves)
        if self._waiting:
            self._send()
        return self._upload.complete()

    def _send(self) -> None:
        if self._upload is None:
            self._upload = Upload(self._bulk, *self._place, self._part_bytes, self._moves).__enter__()
        self._number += 1
        self._upload.part(self._number, self._waiting)
        self._waiting = bytearray()


def _bare(etag: object) -> str:
    return str(etag or "").strip('"')


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _described(answer: dict[str, Any]) -> Described:
    moves = {name: answer[name] for name in _MOVED_WITH if answer.get(name)}
    # "Expires" is parsed, and dropped where it is no date; the text that was stored is beside it.
    if answer.get("ExpiresString"):
        moves["Expires"] = answer["ExpiresString"]
    if moves.get("ContentType") == "binary/octet-stream":
        del moves["ContentType"]
    # GET says how many tags there are (and nothing where there are none); HEAD does not say on every store.
    tags = answer.get("TagCount", 0 if "Body" in answer else None)
    return Described(int(answer["ContentLength"]), _bare(answer.get("ETag")), _iso(answer["LastModified"]), moves, tags)


def _sealed(answer: dict[str, Any]) -> bool:
    return str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") or bool(answer.get("SSECustomerAlgorithm"))


def _made(etag: str, sha256: str, headers: Any) -> Made:
    sealed = headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
    # "-" stands before the number of parts: that is no digest of the bytes.
    digest = base64.b64decode(sha256).hex() if sha256 and "-" not in sha256 else ""
    return Made(_bare(etag), digest, sealed)
