"""The last good backup: how old is it.

A set is good once its manifest stands in the bucket (it is written last); a set without one is unfinished or was
interrupted, and does not count. Newest sets first, so a bucket with years of sets costs two or three requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.operations.backup import drill_result, manifest, sets
from workers.operations.backup.encryption import given
from workers.operations.backup.manifest import ManifestDamaged
from workers.operations.backup.signing import NOT_SIGNED, NotOurs, Trust
from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status, Text
from workers.systems.errors import BucketMissing, ObjectMissing
from workers.wording import ago, count, duration

if TYPE_CHECKING:
    from workers.operations.backup.drill_result import DrillResult
    from workers.operations.backup.manifest import Manifest
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.s3.objects import Objects

SETS: Final = "sets/"
RECENT: Final = timedelta(days=2)
MOST_TRIED: Final = 20
"""Sets without a good manifest that are passed over before saying so."""


@dataclass(frozen=True)
class Found:
    """The newest good set, None where there is none; and the newer ones that are not good, with the reason.
    amounts: of the artifacts that it refers to, the cheapest count of a bucket.
    """

    name: str | None
    finished_at: datetime | None
    passed_over: tuple[str, ...] = ()
    amounts: dict[str, float] = field(default_factory=dict)


def ask(asking: Asking) -> Answer:
    """The newest set with a manifest."""
    bucket = asking.settings.ops.storage.backups_bucket
    try:
        found = newest(asking.systems.backups, bucket, asking.now, Trust.of(asking.settings))
    except BucketMissing as error:
        sentence = f"There are no backups: the bucket {bucket} does not exist."
        return Answer(Status.WARN, sentence, figure="none", details=(Text(text=error.hint),))
    return judge(found, asking.settings, asking.now, drill_result.last(asking.systems.backups, bucket))


def judge(found: Found, settings: Settings, now: datetime, drill: DrillResult | None = None) -> Answer:
    """From the newest good set, and the last drill."""
    bucket = settings.ops.storage.backups_bucket
    facts = [("bucket", bucket), ("newest good set", found.name or "none")]
    facts += [("not good", words) for words in found.passed_over[:5]]
    facts.append(("last drill", _drill(drill, now)))
    details = (Facts(items=tuple(facts)),)
    if found.finished_at is None:
        sentence = f"There is no backup in {bucket} yet"
        if found.passed_over:
            many = count(len(found.passed_over), "set")
            sentence += f"; {many} without a good manifest, the last {_begun(found.passed_over[0], now)}"
        return Answer(Status.WARN, f"{sentence}.", "none yet", details)
    age = max(0.0, (now - found.finished_at).total_seconds())
    allowed = settings.ops.health.thresholds.backup_age_fail_seconds
    status, sentence = Status.OK, f"The last good backup is {duration(age)} old."
    if age > allowed:
        status, sentence = Status.FAIL, f"{sentence[:-1]}; {duration(allowed)} are allowed."
    if status is Status.OK and drill is not None and not drill.well:
        status, sentence = Status.WARN, f"{sentence[:-1]}; the backup {drill.set_id} failed its drill."
    if not given(settings):
        sentence = f"{sentence} {NOT_SIGNED}"
    figures = {"age_seconds": age} | found.amounts
    if drill is not None:
        figures |= {
            "drill_age_seconds": max(0.0, (now - drill.at).total_seconds()),
            "drill_well": float(drill.well),
            "restore_seconds": drill.seconds,
        }
    return Answer(status, sentence, f"{duration(age)} old", details, figures, own_fault=True)


def _drill(drill: DrillResult | None, now: datetime) -> str:
    if drill is None:
        return "none yet: /mlflow drill"
    when = ago((now - drill.at).total_seconds())
    how = f"restored in {duration(drill.seconds)}" if drill.well else f"FAILED: {drill.problem}"
    return f"{drill.set_id}, {when}, {how}"


def _begun(key: str, now: datetime) -> str:
    """When its set was begun: one in the making has no manifest either."""
    name = sets.name_in(key)
    return f"begun {ago((now - sets.begun(name)).total_seconds())}" if name else "of a name that is not ours"


def newest(objects: Objects, bucket: str, now: datetime, trust: Trust) -> Found:
    """The newest set whose manifest can be read, and is ours. Raises ObjectsError."""
    passed_over: list[str] = []
    for name in _names(objects, bucket, now):
        try:
            made, document = manifest.read(
                objects.read(bucket, f"{name}{manifest.NAME}", at_most=manifest.AT_MOST), name
            )
            trust.judge(made, document)
            lacks = [part for part in ("database", "artifacts") if part not in made.parts]
            if not lacks and not made.shrunk:
                return Found(name, made.finished_at, tuple(passed_over), _amounts(made))
            why = f"has no {' and no '.join(lacks)}" if lacks else f"lost {made.losses} since {made.shrank_since}"
            passed_over.append(f"{name} {why}")
        except ObjectMissing:
            passed_over.append(f"{name}, {_begun(name, now)}, has no manifest")
        except NotOurs as error:
            passed_over.append(f"{name} is {error.why}")
        except ManifestDamaged:
            passed_over.append(f"{name} has a manifest that cannot be read")
        if len(passed_over) >= MOST_TRIED:
            break
    return Found(None, None, tuple(passed_over))


def _amounts(made: Manifest) -> dict[str, float]:
    """How many artifacts there were and how large they are together."""
    of = made.artifacts
    return {"artifacts_objects": float(of.objects), "artifacts_bytes": float(of.bytes)} if of else {}


def _names(objects: Objects, bucket: str, now: datetime) -> Iterator[str]:
    """Set names, newest first: the recent ones, then the older ones where no recent one is good."""
    since = f"{SETS}{now.astimezone(UTC) - RECENT:%Y%m%dT%H%M%SZ}"
    recent = list(objects.folders(bucket, SETS, after=since))
    yield from reversed(recent)
    known = set(recent)
    yield from (name for name in reversed(list(objects.folders(bucket, SETS))) if name not in known)


def _look(settings: Settings) -> str:
    return f"aws s3 ls s3://{settings.ops.storage.backups_bucket}/{SETS}"


QUESTION = Question("backup", "Backup", "The object store", ask, _look, spokesman="storage")
