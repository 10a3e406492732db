"""The last good backup: how much would be lost now, can the schedule keep that small, what is in no backup.

A set is good once its manifest stands in the bucket (it is written last); a set without one is unfinished or was
interrupted, and does not count. What a set holds ends where it began, so its age counts from then. Newest sets first,
so a bucket with years of sets costs two or three requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup import copies, drill_result, manifest, sets, shrinking, summary
from workers.operations.backup.encryption import given
from workers.operations.backup.manifest import ManifestDamaged
from workers.operations.backup.signing import NOT_SIGNED, NotOurs, Trust
from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status, Text
from workers.settings import cron
from workers.systems.errors import BucketMissing, GatewayError, ObjectMissing
from workers.wording import ago, count, duration

if TYPE_CHECKING:
    from workers.operations.backup.drill_result import DrillResult
    from workers.operations.backup.manifest import Manifest
    from workers.operations.backup.shrinking import Loss
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems import Systems
    from workers.systems.s3.objects import Objects

SETS: Final = "sets/"
RECENT: Final = timedelta(days=2)
COUNTED: Final = ("experiments", "runs")
"""Tables whose rows are counted at each check; the others are only looked for."""
MOST_TRIED: Final = 20
"""Sets without a good manifest that are passed over before saying so."""


@dataclass(frozen=True)
class Found:
    """The newest good set, None where there is none; and the newer ones that are not good, with the reason.
    made: its manifest.
    """

    name: str | None
    made: Manifest | None
    passed_over: tuple[str, ...] = ()


def ask(asking: Asking) -> Answer:
    """The newest set with a manifest; and, asked at the same time, that in each copy."""
    if not asking.settings.ops.backup.copies:
        return _first_place(asking)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(_copy, there, asking) for there in copies.every(asking.systems)]
        answer = _first_place(asking)
        found = [each.result() for each in asked]
    late = [f"The copy {place} is behind: {words.rstrip('.')}." for place, words, behind in found if behind]
    worse = Status.WARN if late and answer.status is Status.OK else answer.status
    told = Facts(title="Copies", items=tuple((place, words) for place, words, _ in found))
    return replace(answer, status=worse, sentence=" ".join((answer.sentence, *late)), details=(*answer.details, told))


def _copy(there: Systems, asking: Asking) -> tuple[str, str, bool]:
    """A copy's place, its newest set, and whether that is older than is allowed, or there is none."""
    allowed = asking.settings.ops.health.thresholds.backup_age_fail_seconds
    bucket = there.settings.ops.storage.backups_bucket
    try:
        made = newest(there.backups, bucket, asking.now, Trust.of(asking.settings)).made
    except OperatorError as error:
        return copies.place(there), error.message, True
    if made is None:
        return copies.place(there), "no set", True
    age = (asking.now - made.started_at).total_seconds()
    return copies.place(there), f"{made.id}, begun {ago(age)}", age > allowed


def _first_place(asking: Asking) -> Answer:
    """The newest set with a manifest."""
    bucket = asking.settings.ops.storage.backups_bucket
    try:
        found = newest(asking.systems.backups, bucket, asking.now, Trust.of(asking.settings))
    except BucketMissing as error:
        sentence = f"There are no backups: the bucket {bucket} does not exist."
        return Answer(Status.WARN, sentence, figure="none", details=(Text(text=error.hint),))
    from workers.operations.backup import seen

    seen.look(asking.systems, asking.now.timestamp())
    drill = drill_result.last(asking.systems.backups, bucket)
    return judge(found, asking.settings, asking.now, drill, _lost(asking, found.made))


def judge(
    found: Found,
    settings: Settings,
    now: datetime,
    drill: DrillResult | None = None,
    lost: tuple[Loss, ...] = (),
) -> Answer:
    """From the newest good set, the last drill, and what the live database has lost since that set."""
    bucket, made = settings.ops.storage.backups_bucket, found.made
    facts = [("bucket", bucket), ("newest good set", found.name or "none")]
    facts += [("not good", words) for words in found.passed_over[:5]]
    facts += [("in no backup", words) for words in (summary.lacking(made) if made else ())]
    facts.append(("last drill", _drill(drill, now)))
    details = (Facts(items=tuple(facts)),)
    if made is None:
        sentence = f"There is no backup in {bucket} yet"
        if found.passed_over:
            many = count(len(found.passed_over), "set")
            sentence += f"; {many} without a good manifest, the last {_begun(found.passed_over[0], now)}"
        return Answer(Status.WARN, f"{sentence}.", "none yet", details)
    age = max(0.0, (now - made.started_at).total_seconds())
    allowed = settings.ops.health.thresholds.backup_age_fail_seconds
    status, sentence = Status.OK, f"The last complete backup began {duration(age)} ago: that much would be lost now."
    slow = _too_slow(made, settings, now)
    if lost:
        gone = any(each.kind == shrinking.TABLES for each in lost)
        status = Status.FAIL if gone or age > allowed else Status.WARN
        what = "; ".join(each.words for each in lost)
        sentence = f"Lost from the live database since the backup {made.id}: {what}. {sentence}"
    elif age > allowed:
        status, sentence = Status.FAIL, f"{sentence[:-1]}, and {duration(allowed)} are allowed."
    elif drill is not None and not drill.well:
        status, sentence = Status.WARN, f"{sentence[:-1]}; the backup {drill.set_id} failed its drill."
    elif slow:
        status, sentence = Status.WARN, f"{sentence} {slow}"
    lacking = _lacking(made)
    if lacking:
        sentence = f"{sentence} In no backup: {lacking}."
    if not given(settings):
        sentence = f"{sentence} {NOT_SIGNED}"
    figures = {"age_seconds": age, "backup_seconds": (made.finished_at - made.started_at).total_seconds()}
    figures |= _amounts(made)
    if drill is not None:
        figures |= {
            "drill_age_seconds": max(0.0, (now - drill.at).total_seconds()),
            "drill_well": float(drill.well),
            "restore_seconds": drill.seconds,
        }
    return Answer(status, sentence, f"{duration(age)} old", details, figures, own_fault=True)


def _too_slow(made: Manifest, settings: Settings, now: datetime) -> str:
    """That the schedule cannot keep the loss within what is allowed, with the time that a set takes; else empty."""
    entry = settings.ops.clock.get("backup")
    allowed = settings.ops.health.thresholds.backup_age_fail_seconds
    if entry is None or entry.command != "backup":
        return ""
    apart = cron.widest(entry.cron, settings.ops.zone, now).total_seconds()
    took = (made.finished_at - made.started_at).total_seconds()
    if apart + took <= allowed:
        return ""
    return (
        f"The schedule lets {duration(apart + took)} be lost (a set every {duration(apart)}, each takes "
        f"{duration(took)}), and {duration(allowed)} are allowed."
    )


def _lacking(made: Manifest) -> str:
    part = made.artifacts
    if part is None:
        return ""
    said = [f"artifacts of {count(part.missing, 'experiment')}"] if part.missing else []
    said += [f"{count(part.left_out_objects, 'artifact')} that can't be read"] if part.left_out_objects else []
    return " and ".join(said)


def _lost(asking: Asking, made: Manifest | None) -> tuple[Loss, ...]:
    """Tables, experiments and runs that the live database had when the set was made. Nothing where it is not asked."""
    if made is None or made.database is None or asking.settings.environment.database_url is None:
        return ()
    from workers.systems.postgres import snapshot

    before, database = made.database, asking.systems.database.within(round(asking.patience, 1))
    try:
        if database.schema_revision() != before.alembic_revision:
            return ()
        tables, counted = snapshot.tables(database, count=COUNTED)
    except GatewayError:
        # The check of PostgreSQL tells that.
        return ()
    rows = {name: counted.get(name, held) for name, held in before.rows.items() if name in tables}
    now = before.model_copy(update={"rows": rows})
    share = asking.settings.ops.backup.shrink_warn
    return shrinking.lost(
        made.model_copy(update={"artifacts": None, "configuration": None}),
        made.model_copy(update={"database": now, "artifacts": None, "configuration": None}),
        share,
    )


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
                return Found(name, made, tuple(passed_over))
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


QUESTION = Question("backup", "Backup", "The object store", ask, _look, spokesman="storage", command="backup")
