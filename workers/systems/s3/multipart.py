"""Objects that are made of parts: multipart uploads, streams of unknown length, copies of more than 5 GiB.

A multipart upload is aborted unless it is completed: its parts would be kept, and paid for, as parts of nothing.
"""

from __future__ import annotations

import hashlib
import math
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from botocore import exceptions as boto

from workers.systems.errors import ObjectsError, PartsNotCopied
from workers.systems.s3.lock import locked, retain
from workers.systems.s3.metadata import CopyRequest, Made, bare

if TYPE_CHECKING:
    from types import TracebackType

    from workers.systems.s3.transfer import Transfer

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
COPY_AT_MOST: Final = 5 * GIB
"""CopyObject's limit (API_CopyObject); above it, UploadPartCopy."""
PARTS_AT_MOST: Final = 10_000
"""Parts of a multipart upload (S3 user guide, qfacts)."""
PART_AT_LEAST: Final = 5 * MIB
"""Of all parts but the last (S3 user guide, qfacts)."""
_PARTS_AT_ONCE: Final = 4


def copy_in_parts(transfer: Transfer, request: CopyRequest, part_bytes: int) -> Made:
    """As Transfer.copy, for an object of any size; nothing is left of one that fails.

    Raises PartsNotCopied where the store can't: then its bytes must go through us.
    """
    version = request.of_version
    described = transfer.describe(request.source, request.key, request.etag, **version)
    request = replace(request, etag=described.etag)
    part_bytes = max(part_bytes, math.ceil(described.size / PARTS_AT_MOST))
    moves = described.moves | transfer.tags(request.source, request.key, described, **version)
    with Upload(transfer, request.target, request.name, part_bytes, moves) as upload:

        def part(number: int) -> None:
            first = (number - 1) * part_bytes
            last = min(first + part_bytes, described.size) - 1
            upload.copy_part(number, request, first, last)

        with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
            for done in [pool.submit(part, n + 1) for n in range(math.ceil(described.size / part_bytes))]:
                done.result()
        return upload.complete()


class Upload:
    """A multipart upload as a context: aborted unless completed within it."""

    def __init__(self, transfer: Transfer, bucket: str, key: str, part_bytes: int, moves: dict[str, Any]) -> None:
        """part_bytes: the length of all parts but the last. moves: metadata, content type, tags."""
        self._transfer = transfer
        self._client = transfer.objects.client
        self._bucket = bucket
        self._key = key
        self._part_bytes = part_bytes
        self._moves = moves
        self._id = ""
        self._parts: dict[int, str] = {}

    def __enter__(self) -> Self:
        lock = self._transfer.lock(self._key)
        more = self._moves | (lock.parameters if lock else {})
        call = partial(self._client.create_multipart_upload, Bucket=self._bucket, Key=self._key, **more)
        self._id = self._transfer.objects.ask(call, self._bucket)["UploadId"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._id:
            try:
                self._transfer.abort(self._bucket, self._key, self._id)
            except ObjectsError:
                # What has failed already says why; the sweep aborts what is left.
                if error is None:
                    raise

    def part(self, number: int, body: bytes | bytearray) -> None:
        """Write one part; numbers begin at 1."""
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        call = partial(self._client.upload_part, **self._place(number), Body=body, ContentMD5=md5)
        self._parts[number] = self._transfer.objects.ask(call, self._bucket)["ETag"]

    def copy_part(self, number: int, request: CopyRequest, first: int, last: int) -> None:
        """Let the store copy the source's bytes `first` to `last` as one part."""
        call = partial(
            self._client.upload_part_copy,
            **self._place(number),
            CopySource={"Bucket": request.source, "Key": request.key, **request.of_version},
            CopySourceIfMatch=f'"{request.etag}"',
            CopySourceRange=f"bytes={first}-{last}",
        )
        etag = self._transfer.objects.ask(call, self._bucket).get("CopyPartResult", {}).get("ETag")
        if not etag:
            at = self._transfer.objects.address
            raise PartsNotCopied(f"The object store at {at} does not copy parts of objects (UploadPartCopy).")
        self._parts[number] = etag

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
                if not bare(answer["ETag"]).endswith(f"-{len(parts)}"):
                    raise
            return answer

        answer = self._transfer.objects.ask(finish, self._bucket)
        self._id = ""
        lock = self._transfer.lock(self._key)
        if lock and not locked(self._transfer.objects, self._bucket, self._key):
            # Not every store heeds what an upload's beginning says of it.
            retain(self._transfer.objects, self._bucket, self._key, lock)
        return Made.of(answer, part_bytes=self._part_bytes)

    def _place(self, number: int) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._key, "UploadId": self._id, "PartNumber": number}


class Writer:
    """A new object written as a stream: one PUT where it is small, parts where it is not.

    A context: nothing is left of it unless `close` was reached. sha256 and size are those of the bytes written.
    """

    def __init__(
        self,
        transfer: Transfer,
        bucket: str,
        key: str,
        *,
        part_bytes: int = PART_AT_LEAST,
        moves: dict[str, Any] | None = None,
    ) -> None:
        """moves: metadata, content type, tags."""
        self._transfer = transfer
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
            return self._transfer.put(*self._place, self._waiting, self._moves)
        if self._waiting:
            self._send()
        return self._upload.complete()

    def _send(self) -> None:
        if self._upload is None:
            self._upload = Upload(self._transfer, *self._place, self._part_bytes, self._moves).__enter__()
        self._number += 1
        self._upload.part(self._number, self._waiting)
        self._waiting = bytearray()
