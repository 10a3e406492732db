"""The export of the audit record: files of sealed entries in the backups' bucket, written once and never changed.

    audit/<target>/<day>/<UTC time>-<first number>-<last number>.jsonl

The first line tells the seal that came before (`after`), each other one an entry with its seal: its text is the JSON
that stood in Redis. So each file can be verified with the key alone, and one file after the other; where Redis was set
back, a file begins with a number that was exported before. With `backup.lock` each is locked as a set is.

Times in names are the worker's: files are in order by them. A file holds a thousand entries at most, so memory does
not grow with the record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.records import audit_key, audit_seals
from workers.records.audit_log import Entry
from workers.records.audit_seals import Seal
from workers.systems.s3.lock import write

if TYPE_CHECKING:
    from workers.systems import Systems

ENTRIES_AT_MOST: Final = 1000
_BYTES_AT_MOST: Final = 64 << 20
_FORMAT: Final = 1
_TIME: Final = "%Y%m%dT%H%M%S.%fZ"


class FileDamaged(OperatorError):  # noqa: N818 - named after what happened
    """A file of the export is not as it was written."""


@dataclass(frozen=True)
class File:
    """One file of the export. first, last: numbers of its seals."""

    key: str
    first: int
    last: int
    written_at: datetime

    @property
    def name(self) -> str:
        """Without its folders."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class Content:
    """What a file holds. after: the seal before its first entry."""

    after: Seal
    entries: tuple[tuple[Entry, Seal], ...]

    @property
    def last(self) -> tuple[str, Seal]:
        """The last entry's id, with its seal."""
        entry, seal = self.entries[-1]
        return entry.id, seal


@dataclass(frozen=True)
class Export:
    """The export of one target. Methods raise ObjectsError."""

    systems: Systems

    @property
    def bucket(self) -> str:
        """Where it is."""
        return self.systems.settings.ops.storage.backups_bucket

    @property
    def folder(self) -> str:
        """Below which its days are."""
        return f"{audit_key.FOLDER}{self.systems.settings.environment.target}/"

    def files(self, since: datetime | None = None) -> Iterator[File]:
        """In the order in which they were written, from the day of `since` on."""
        first = f"{self.folder}{since:%Y-%m-%d}/" if since else ""
        for day in self.systems.backups.folders(self.bucket, self.folder):
            if day >= first:
                yield from self._of(day)

    def newest_first(self) -> Iterator[File]:
        """The other way round, a day at a time."""
        days = list(self.systems.backups.folders(self.bucket, self.folder))
        for day in reversed(days):
            yield from reversed(list(self._of(day)))

    def _of(self, day: str) -> Iterator[File]:
        objects, after = self.systems.backups, ""
        while True:
            asked = {"Bucket": self.bucket, "Prefix": day, **({"StartAfter": after} if after else {})}
            page: Any = objects.ask(partial(objects.client.list_objects_v2, **asked), self.bucket)
            for each in page.get("Contents") or ():
                if (found := _file(str(each["Key"]))) is not None:
                    yield found
            keys = [str(each["Key"]) for each in page.get("Contents") or ()]
            if not page.get("IsTruncated"):
                return
            if not keys or keys[-1] <= after:
                raise objects.stuck(self.bucket)
            after = keys[-1]

    def read(self, file: File) -> Content:
        """Its entries. Raises FileDamaged where it is not as this module writes it."""
        raw = self.systems.backups.read(self.bucket, file.key, at_most=_BYTES_AT_MOST)
        try:
            head, *rows = [json.loads(each) for each in raw.decode().splitlines()]
            entries = tuple((Entry(str(row["entry"]), str(row["text"])), Seal.read(str(row["seal"]))) for row in rows)
            content = Content(Seal.read(str(head["after"])), entries)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise FileDamaged(f"{file.name} is not a file of the audit record's export.") from None
        numbers = [seal.number for _, seal in entries]
        if not numbers or (numbers[0], numbers[-1]) != (file.first, file.last):
            raise FileDamaged(f"{file.name} does not hold what its name says: it was changed or cut.")
        return content

    def write(self, after: Seal, entries: Iterable[tuple[Entry, Seal]], now: datetime) -> File:
        """Write a file and read it back. Raises FileDamaged where it does not come back as it was written."""
        held = list(entries)
        head = json.dumps({"audit": _FORMAT, "target": self.systems.settings.environment.target, "after": after.text})
        body = "".join(f"{each}\n" for each in (head, *(audit_seals.line(*pair) for pair in held))).encode()
        first, last = held[0][1].number, held[-1][1].number
        key = f"{self.folder}{now:%Y-%m-%d}/{now.strftime(_TIME)}-{first:012}-{last:012}.jsonl"
        objects, bucket = self.systems.backups, self.bucket
        write(objects, bucket, key, body, audit_key.lock(self.systems.settings))
        if objects.read(bucket, key, at_most=len(body) + 1) != body:
            raise FileDamaged(f"s3://{bucket}/{key} did not come back as it was written.", "See the store's log.")
        return File(key, first, last, now)


def _file(key: str) -> File | None:
    at, _, numbers = key.rpartition("/")[2].removesuffix(".jsonl").partition("-")
    first, _, last = numbers.partition("-")
    if not (first.isdigit() and last.isdigit()):
        return None
    try:
        return File(key, int(first), int(last), datetime.strptime(at, _TIME).replace(tzinfo=UTC))
    except ValueError:
        return None
