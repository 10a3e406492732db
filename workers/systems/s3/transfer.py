"""The object store for very many and very large objects: listed, copied, streamed and removed in constant memory.

Everything here may be repeated, and is, where the store fails for a moment. A copy is always of the object that was
listed: its entity tag goes with the request. Nothing is written by anything else than one PUT or one completed
multipart upload, so an object is whole or is not there.

Traps this avoids: an ETag is the MD5 of the bytes only for an object that was put in one piece, and not where the
store encrypts with keys of its own; DeleteObjects sends a checksum that older stores refuse; a body that breaks off
half way is no error of the call that began it.
"""

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote, urlencode

from botocore import exceptions as boto

from workers.systems.errors import ObjectMissing, ObjectsError, ObjectsUnreachable
from workers.systems.s3.lock import Lock
from workers.systems.s3.metadata import CopyRequest, Described, Listed, Made, Pending
from workers.systems.s3.objects import BULK_ATTEMPTS, Objects
from workers.systems.s3.requests import SignedCalls

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")

DELETE_AT_MOST: Final = 1000
"""Keys in one DeleteObjects (API_DeleteObjects)."""
_CHUNK: Final = 1024 * 1024
_READERS: Final = 4
_MD5_OF_NOTHING: Final = b64encode(hashlib.md5(usedforsecurity=False).digest()).decode()
_NO_RANGE: Final = {"416", "InvalidRange"}
_UNKNOWN_FEATURE: Final = {"NotImplemented", "InvalidRequest", "InvalidArgument", "MissingContentMD5"}


def _unlocked(_key: str) -> Lock | None:
    return None


@dataclass(frozen=True)
class Transfer:
    """Safe for threads. Methods raise ObjectsError or Nonsense; close it after use."""

    objects: Objects
    calls: SignedCalls
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: Callable[[str], Lock | None] = _unlocked
    _plain: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, objects: Objects, at_once: int, lock: Callable[[str], Lock | None] = _unlocked) -> Transfer:
        """Bulk work on that store by so many threads. lock: how what is written is locked, by its key."""
        patient = objects.for_bulk(at_once + _READERS)
        stopping = threading.Event()
        calls = SignedCalls(patient, at_once=at_once, attempts=BULK_ATTEMPTS, stopping=stopping)
        return cls(patient, calls, stopping, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stopping.set()
        self.calls.close()

    def same_store(self, other: Transfer) -> bool:
        """Whether objects can be copied between the two by the store itself."""
        return str(self.objects.client.meta.endpoint_url) == str(other.objects.client.meta.endpoint_url)

    def items(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[Listed]:
        """All objects under `prefix` whose keys come after `after`, in the order of their keys' UTF-8.

        Raises ObjectsError where the store lists in another order: whoever walks two listings relies on it.
        """
        last = after
        for number, page in enumerate(self._pages(bucket, prefix, after)):
            before = last
            for place, item in enumerate(page.get("Contents") or ()):
                found = Listed.of(item)
                if number and place == 0 and found.key <= before:
                    raise self.objects.stuck(bucket)
                if found.key < last:
                    msg = f"The object store at {self.objects.address} does not list {bucket} in the order of its keys."
                    raise ObjectsError(msg, "Backups need a general purpose bucket: directory buckets are not sorted.")
                last = found.key
                yield found

    def _pages(self, bucket: str, prefix: str, after: str) -> Iterator[dict[str, Any]]:
        """The pages of a listing; the next one is asked for while one is used."""
        list_page = partial(self.objects.client.list_objects_v2, Bucket=bucket, Prefix=prefix, MaxKeys=1000)
        ahead = ThreadPoolExecutor(1, thread_name_prefix="listing")
        try:
            first = partial(list_page, StartAfter=after) if after else list_page
            coming, token = ahead.submit(self._ask, first, bucket), ""
            while True:
                page = coming.result()
                following = str(page.get("NextContinuationToken") or token) if page.get("IsTruncated") else ""
                if page.get("IsTruncated") and following == token:
                    raise self.objects.stuck(bucket)
                if following:
                    coming = ahead.submit(self._ask, partial(list_page, ContinuationToken=following), bucket)
                yield page
                if not following:
                    return
                token = following
        finally:
            ahead.shutdown(wait=False, cancel_futures=True)

    def describe(self, bucket: str, key: str, etag: str = "", **version: str) -> Described:
        """An object's description. Raises ObjectMissing; ObjectChanged where it is not the one with `etag`."""
        query = {"Bucket": bucket, "Key": key, **version} | ({"IfMatch": f'"{etag}"'} if etag else {})
        found = Described.of(self._ask(lambda: self.objects.client.head_object(**query), bucket))
        return self._meant(found, etag, bucket)

    def copy(self, request: CopyRequest) -> Made:
        """Let the store copy an object: bytes, metadata and tags.

        Raises ObjectMissing, or ObjectChanged where the store says so. (One that ignores conditions shows the change
        in the etag of what it has made.)
        """
        source = quote(f"{request.source}/{request.key}", safe="/~")
        if request.version:
            source += f"?versionId={quote(request.version, safe='')}"
        headers = {"x-amz-copy-source": source}
        if request.etag:
            headers["x-amz-copy-source-if-match"] = f'"{request.etag}"'
        lock = self.lock(request.name)
        # Object Lock demands the checksum of what is sent, which is nothing.
        headers |= {"Content-MD5": _MD5_OF_NOTHING} | lock.headers if lock else {}
        send = partial(self.calls.send, "CopyObject", "PUT", request.target, request.name)
        either = request.source if request.source == request.target else f"{request.source} or {request.target}"
        if not self._plain.is_set():
            try:
                answer = send(headers | {"x-amz-checksum-algorithm": "SHA256"})
            except boto.ClientError as error:
                if error.response["Error"]["Code"] not in _UNKNOWN_FEATURE:
                    raise self._sentence(error, either) from None
                self._plain.set()
            except boto.BotoCoreError as error:
                raise self._sentence(error, request.source) from None
            else:
                return Made.by_copy(answer)
        answer = self._ask(lambda: send(headers), either)
        return Made.by_copy(answer)

    def tags(self, bucket: str, key: str, described: Described, **version: str) -> dict[str, str]:
        """The object's tags as a new object takes them; nothing is asked where it has none."""
        count = described.tags if described.tags is not None else self._tag_count(bucket, key, **version)
        if not count:
            return {}
        answer = self._ask(lambda: self.objects.client.get_object_tagging(Bucket=bucket, Key=key, **version), bucket)
        found = urlencode([(tag["Key"], tag["Value"]) for tag in answer["TagSet"]])
        return {"Tagging": found} if found else {}

    def _tag_count(self, bucket: str, key: str, **version: str) -> int:
        """As a GET says it: a store that keeps no tags may answer 500 to whoever asks for them."""
        query = {"Bucket": bucket, "Key": key, "Range": "bytes=0-0", **version}
        answer = self._ask(lambda: self.objects.client.get_object(**query), bucket)
        answer["Body"].close()
        return int(answer.get("TagCount", 0))

    def open(self, bucket: str, key: str, etag: str = "") -> tuple[Described, Iterator[bytes]]:
        """An object's description and its bytes, piece by piece; it goes on where a connection breaks off.

        Raises ObjectMissing, and ObjectChanged where it is another object, then or half way.
        """
        query: dict[str, Any] = {"Bucket": bucket, "Key": key} | ({"IfMatch": f'"{etag}"'} if etag else {})
        answer = self._ask(lambda: self.objects.client.get_object(**query), bucket)
        return self._meant(Described.of(answer), etag, bucket), self._pieces(query, answer)

    def _meant(self, found: Described, etag: str, bucket: str) -> Described:
        """The same; raises ObjectChanged where a store has ignored the condition, as rclone's does."""
        if etag and found.etag and found.etag != etag:
            raise self.objects.another(bucket)
        return found

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
            if answer.get("ETag", etag) != etag:
                raise self.objects.another(query["Bucket"])

    def fetch(
        self, bucket: str, key: str, etag: str = "", *, at_most: int = 0, first: int = 0
    ) -> tuple[Described, bytes]:
        """The same of a small object, in one piece and at less cost. Raises as `open`.

        at_most: how many bytes are read, however many there are; for an object that is not known to be the one that
        was meant, and not to be empty (a range of nothing is an error). first: where these begin.
        """
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        headers |= {"Range": f"bytes={first}-{first + at_most - 1}"} if at_most else {}

        def ask() -> tuple[Described, bytes]:
            try:
                answer = self.calls.send("GetObject", "GET", bucket, key, headers)
            except boto.ClientError as error:
                if not at_most or error.response["Error"]["Code"] not in _NO_RANGE:
                    raise
                # It is empty, or the store has no such range of what is shorter.
                return self.describe(bucket, key, etag), b""
            return Described.by_headers(answer.headers), answer.content

        found, content = self._ask(ask, bucket)
        return self._meant(found, etag, bucket), content

    def put(self, bucket: str, key: str, body: bytes | bytearray, moves: dict[str, Any] | None = None) -> Made:
        """Write an object in one piece."""
        # Object Lock demands it, and the store finds what was changed on its way.
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        lock = self.lock(key)
        if not moves:
            headers = {"Content-MD5": md5} | (lock.headers if lock else {})
            send = partial(self.calls.send, "PutObject", "PUT", bucket, key, headers, content=bytes(body))
            return Made.by_put(self._ask(send, bucket))
        more = {"ContentMD5": md5} | moves | (lock.parameters if lock else {})
        call = partial(self.objects.client.put_object, Bucket=bucket, Key=key, Body=body, **more)
        return Made.of(self._ask(call, bucket))

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
        """The multipart uploads under way under `prefix`. Some stores say that there are none with NoSuchUpload."""
        query: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}

        def fetch() -> dict[str, Any]:
            try:
                page: dict[str, Any] = self.objects.client.list_multipart_uploads(**query)
            except boto.ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchUpload":
                    raise
                return {}
            return page

        while True:
            page = self._ask(fetch, bucket)
            for item in page.get("Uploads") or ():
                yield Pending(item["Key"], item["UploadId"], item["Initiated"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return
            following = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
            if following.items() <= query.items():
                raise self.objects.stuck(bucket)
            query |= following

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
