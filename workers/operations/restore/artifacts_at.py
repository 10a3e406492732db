"""Artifacts as they were at a moment, from the versions that their bucket keeps; no backup is needed for it.

What was there then and is missing or another now comes back as a new version, copied by the store itself. What has
come since stays, unless `exact` is asked for; then it is hidden by a deletion, and its versions stay. What was
replaced or deleted so long ago that the bucket's own rules have removed it cannot come back, which a plan says.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Plan
from workers.operations.backup.wal.archive import moment_of
from workers.operations.in_order import in_order, threads
from workers.operations.storage import cache
from workers.report import Report, Status, Text
from workers.systems.errors import ObjectMissing, ObjectsError
from workers.systems.s3 import versions
from workers.systems.s3.metadata import CopyRequest
from workers.systems.s3.multipart import COPY_AT_MOST, GIB, copy_in_parts
from workers.systems.s3.transfer import Transfer
from workers.wording import ago, count, size

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems import Systems
    from workers.systems.s3.objects import Objects
    from workers.systems.s3.versions import Version

AT_ONCE: Final = 16
NAMES_AT_MOST: Final = 20
_AHEAD: Final = 512
_LOOK_EVERY: Final = 250
_DELETED_AT_ONCE: Final = 1000
"""Keys of one DeleteObjects (API_DeleteObjects)."""
_PART_BYTES: Final = GIB // 2


@dataclass(frozen=True, slots=True)
class Changed:
    """A key that is not as it was. then: what was there; now: what is. None where nothing was, or is."""

    key: str
    then: Version | None
    now: Version | None


@dataclass(frozen=True)
class Then:
    """A bucket's keys that begin with `prefix`, at a moment. exact: nothing that came since stays.

    chosen: the option that says which these are, as in "--experiment churn".
    """

    bucket: str
    prefix: str
    at: datetime
    exact: bool = False
    chosen: str = ""

    @property
    def place(self) -> str:
        """As a person reads it."""
        return f"s3://{self.bucket}/{self.prefix}"

    def undo(self, before: datetime) -> str:
        """The command that brings back what was there at that moment."""
        said = before.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return f"restore artifacts --at {said} --exact {self.chosen}".strip()


@dataclass
class Seen:
    """What differs, as numbers. coming and going: digests over what would be copied, and what would be hidden."""

    same: int = 0
    missing: int = 0
    another: int = 0
    since: int = 0
    bytes: int = 0
    names: list[str] = field(default_factory=list)
    coming: str = ""
    going: str = ""


def plan(systems: Systems, wanted: Then) -> Plan:
    """What would come back. Raises OperatorError and AlreadySo."""
    kept = _refuse_without_versions(systems.objects, wanted)
    seen = look(systems.objects, wanted)
    then = moment_of(wanted.at)
    if not (seen.missing or seen.another or (wanted.exact and seen.since)):
        raise AlreadySo(f"All {seen.same:,} artifacts of {wanted.place} are as they were at {then}.", "Nothing to do.")
    changes = [
        Change(what=f"{count(seen.missing, 'artifact')} of {wanted.place}", before="missing", after=f"as at {then}"),
        Change(what=f"{count(seen.another, 'artifact')} of {wanted.place}", before="another", after=f"as at {then}"),
    ]
    if wanted.exact:
        changes.append(Change(what=f"{count(seen.since, 'artifact')}", before="made since", after="deleted"))
    stay = f"{count(seen.since, 'artifact')} made since then stay." if seen.since and not wanted.exact else ""
    return Plan(
        title="Restore artifacts",
        summary=f"{count(seen.missing + seen.another, 'artifact')} ({size(seen.bytes)}) of {wanted.place} as at {then}",
        steps=(
            f"Copy older versions of {count(seen.missing, 'missing artifact')} and {seen.another:,} that differ"
            + (f"; then delete {count(seen.since, 'artifact')} made since: versions stay" if wanted.exact else ""),
        ),
        changes=tuple(each for each in changes if not each.what.startswith("0 ")),
        warnings=tuple(filter(None, (stay, kept))),
        undo="/mlflow restore artifacts --exact --at, with the moment before it; every version stays in the bucket",
        sections=(Text(title="The first that would change", text="\n".join(seen.names), literal=True),),
        facts={
            "moment": wanted.at.isoformat(),
            "prefix": wanted.prefix,
            "all artifacts that would be written": seen.coming,
            "all artifacts that would be deleted": seen.going if wanted.exact else "",
        },
    )


def run(systems: Systems, wanted: Then, progress: Progress) -> Report:
    """Bring them back. Raises OperatorError, and Cancelled: what came back until then stays."""
    then, before = moment_of(wanted.at), _end_of_this_second()
    progress.step(f"Comparing {wanted.place} with what it held at {then}")
    seen, lost = _brought_back(systems, wanted, progress)
    back = seen.missing + seen.another - len(lost)
    told = f"{count(back, 'artifact')} ({size(seen.bytes)}) came back, {seen.same:,} were right"
    if lost:
        return Report(
            title="Restore artifacts",
            status=Status.FAIL,
            summary=f"{count(len(lost), 'artifact')} could not be brought back; {told}. Nothing was deleted.",
            sections=(Text(title="Not brought back", text="\n".join(lost[:NAMES_AT_MOST]), literal=True),),
            hints=("restore artifacts --dry-run", "backup list"),
        )
    left = look(systems.objects, wanted, progress)
    if left.missing or left.another:
        raise OperatorError(
            f"{count(left.missing + left.another, 'artifact')} of {wanted.place} were changed again meanwhile; {told}.",
            "Ask again once nothing writes there.",
        )
    told += f", {seen.since:,} made since {'were deleted' if wanted.exact else 'stay'}" if seen.since else ""
    return Report(
        title="Restore artifacts",
        status=Status.OK,
        summary=f"{wanted.place} holds what it held at {then}: {told}; looked at afterwards.",
        hints=(wanted.undo(before), "health storage"),
    )


def _end_of_this_second() -> datetime:
    """Its last moment, once it is over: a store tells times to a second, and what we write must not share one with
    what was there before. As far as the store's clock goes like ours.
    """
    now = datetime.now(UTC)
    time.sleep((1_000_000 - now.microsecond) / 1_000_000)
    return now.replace(microsecond=999_999)


def beside_rows(systems: Systems, wanted: Then, progress: Progress) -> str:
    """Bring back what is missing or another, after rows of the same moment; how that went. Raises OperatorError."""
    if systems.objects.versioning(wanted.bucket) == "Off":
        return f"; its artifacts stay as they are: s3://{wanted.bucket} keeps no versions"
    progress.step("Bringing its artifacts back from their versions", of="Bring its artifacts back")
    seen, lost = _brought_back(systems, wanted, progress)
    told = f"; {count(seen.missing + seen.another - len(lost), 'artifact')} came back, {seen.same:,} were there"
    return told + (f"; {count(len(lost), 'artifact')} could not be had: {lost[0]}" if lost else "")


def look(objects: Objects, wanted: Then, progress: Progress | None = None) -> Seen:
    """What differs now from what was there. Raises ObjectsError; Cancelled."""
    with Transfer.of(objects, 1) as transfer:
        return _looked(_changed(transfer, wanted), progress)


def _looked(changed: Iterator[Changed], progress: Progress | None) -> Seen:
    seen, coming, going = Seen(), hashlib.sha256(), hashlib.sha256()
    for number, each in enumerate(changed, 1):
        if each.then is None:
            assert each.now is not None
            seen.since += 1
            going.update(json.dumps([each.key, each.now.id]).encode())
        elif each.now is not None and _equal(each.then, each.now):
            seen.same += 1
        else:
            seen.missing += each.now is None
            seen.another += each.now is not None
            seen.bytes += each.then.size
            coming.update(json.dumps([each.key, each.then.id, each.now.id if each.now else ""]).encode())
            now = f"{size(each.now.size)} since {each.now.at:%m-%d %H:%M:%S}" if each.now else "missing"
            if len(seen.names) < NAMES_AT_MOST:
                seen.names.append(f"{each.key}: {now}, then {size(each.then.size)}")
        if progress and number % _LOOK_EVERY == 0:
            progress.checkpoint()
    seen.coming = coming.hexdigest() if seen.missing or seen.another else ""
    seen.going = going.hexdigest() if seen.since else ""
    return seen


def _changed(transfer: Transfer, wanted: Then) -> Iterator[Changed]:
    """Each key that was there then or is now."""
    for key, found in versions.histories(transfer, wanted.bucket, wanted.prefix):
        then, now = versions.as_at(found, wanted.at), None if found[0].deleted else found[0]
        if then or now:
            yield Changed(key, then, now)


def _equal(then: Version, now: Version) -> bool:
    return then.id == now.id or ((then.size, then.etag) == (now.size, now.etag) and "-" not in then.etag)


def _brought_back(systems: Systems, wanted: Then, progress: Progress) -> tuple[Seen, list[str]]:
    """Copy what differs, then delete what is to go; what that was, and a sentence for each that could not be had."""
    seen = look(systems.objects, wanted, progress)
    total = seen.missing + seen.another
    progress.step(f"Bringing back {count(total, 'artifact')} ({size(seen.bytes)})")
    lost: list[str] = []
    going: list[str] = []
    try:
        with (
            Transfer.of(systems.objects, AT_ONCE) as transfer,
            threads(AT_ONCE, "versions", transfer.stopping) as pool,
        ):
            calls = _calls(transfer, wanted, going)
            for number, (key, copying) in enumerate(in_order(pool, calls, _AHEAD), 1):
                try:
                    copying.result()
                except ObjectMissing:
                    lost.append(f"{key}: its version is gone")
                if number % _LOOK_EVERY == 0:
                    progress.checkpoint()
                    progress.advance(number, max(number, total), "artifacts")
            for first in range(0, 0 if lost else len(going), _DELETED_AT_ONCE):
                progress.checkpoint()
                transfer.delete(wanted.bucket, going[first : first + _DELETED_AT_ONCE])
    finally:
        cache.stale(systems.redis)
    return seen, lost


def _calls(transfer: Transfer, wanted: Then, going: list[str]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each copy that is needed, with its key; what is to go is put into `going` on the way."""
    for each in _changed(transfer, wanted):
        if each.then is None:
            going += [each.key] if wanted.exact else []
        elif each.now is None or not _equal(each.then, each.now):
            yield each.key, partial(_copy, transfer, wanted.bucket, each.key, each.then)


def _copy(transfer: Transfer, bucket: str, key: str, version: Version) -> None:
    request = CopyRequest(bucket, key, bucket, key, version.etag, version.id)
    if version.size > COPY_AT_MOST:
        copy_in_parts(transfer, request, _PART_BYTES)
    else:
        transfer.copy(request)


def _refuse_without_versions(objects: Objects, wanted: Then) -> str:
    """Raise OperatorError where the bucket keeps no versions; what a plan says where it may not have kept all."""
    keeps = objects.versioning(wanted.bucket)
    if keeps == "Off":
        raise OperatorError(
            f"s3://{wanted.bucket} keeps no versions: what it held at {moment_of(wanted.at)} isn't known.",
            "Take them from a backup: /mlflow restore artifacts ID. To have it next time: aws s3api "
            f"put-bucket-versioning --bucket {wanted.bucket} --versioning-configuration Status=Enabled",
        )
    if keeps == "Suspended":
        return f"s3://{wanted.bucket} has its versions suspended: what was overwritten since is gone."
    try:
        days = versions.kept_days(objects, wanted.bucket)
    except ObjectsError as error:
        return f"{error.message.rstrip('.')}: what was replaced or deleted long ago may be gone."
    age = datetime.now(UTC) - wanted.at
    if days is None or age < timedelta(days=days):
        return ""
    return (
        f"s3://{wanted.bucket} removes what was replaced or deleted after {count(days, 'day')}, and this moment was "
        f"{ago(age.total_seconds())}: some of it may be gone."
    )
