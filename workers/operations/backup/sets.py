"""The sets in the bucket: named by their time, so that their order is the order of their keys.

A set is good once its manifest is there, and is ours (signing.py); whatever reads a set comes through here. Anything
else is unfinished, a backup that runs or one that was interrupted, or is not believed.
Names never go back: where a clock has jumped, the next set is still named after the last one.
"""

from __future__ import annotations

import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup import manifest
from workers.operations.backup.manifest import Manifest, ManifestDamaged
from workers.operations.backup.signing import NotOurs, Trust
from workers.systems.errors import ObjectMissing
from workers.wording import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.systems import Systems
    from workers.systems.s3.objects import Objects

PREFIX: Final = "sets/"
LATEST: Final = "latest"
DRILL_FAILED: Final = "drill-failed.json"
DRILL_PASSED: Final = "drill-passed.json"
"""Beside the manifest of a set that failed its last drill, or passed it: when, and why it failed."""
NEWER: Final = 5
"""Sets that were passed over, of which is told why."""
_NAME: Final = re.compile(r"sets/(\d{8}T\d{6}Z)-([0-9a-f]{6})/")
_TIME: Final = "%Y%m%dT%H%M%SZ"
_READERS: Final = 8
_MARK_BYTES: Final = 64 << 10


@dataclass(frozen=True)
class Found:
    """A set in the bucket. manifest: None where it is not good; problem: why, as a sentence's beginning.

    refusal: what is said to whoever wants to use it, where its manifest is there and not believed.
    """

    name: str
    manifest: Manifest | None = None
    problem: str = ""
    refusal: OperatorError | None = None

    @property
    def id(self) -> str:
        """The short id."""
        return id_of(self.name)

    @property
    def begun(self) -> datetime:
        """When it was begun, by its name."""
        return begun(self.name)


def new_name(now: datetime, known: Iterable[str]) -> str:
    """A name for a set that begins now; after all of those `known`."""
    last = max((begun(name) for name in known), default=datetime(1970, 1, 1, tzinfo=UTC))
    moment = max(now.astimezone(UTC), last + timedelta(seconds=1))
    return f"{PREFIX}{moment:{_TIME}}-{secrets.token_hex(3)}/"


def id_of(name: str) -> str:
    """The short id in a set's name."""
    return name.rstrip("/").rpartition("-")[2]


def name_in(key: str) -> str:
    """The name of the set that an object belongs to; empty where it belongs to none."""
    found = _NAME.match(key)
    return found[0] if found else ""


def begun(name: str) -> datetime:
    """The time in a set's name."""
    found = _NAME.fullmatch(name)
    assert found is not None, name
    return datetime.strptime(found[1], _TIME).replace(tzinfo=UTC)


def names(objects: Objects, bucket: str) -> list[str]:
    """The names of all sets, finished or not, oldest first. What is not named like a set is none of ours."""
    return [name for name in objects.folders(bucket, PREFIX) if _NAME.fullmatch(name)]


def look(objects: Objects, bucket: str, name: str, trust: Trust) -> Found:
    """One set as it stands, judged by `trust`. Raises ObjectsError."""
    try:
        content = objects.read(bucket, f"{name}{manifest.NAME}", at_most=manifest.AT_MOST)
    except ObjectMissing:
        return Found(name, None, "unfinished: it is being made, or was interrupted")
    try:
        found, document = manifest.read(content, name)
        trust.judge(found, document)
    except NotOurs as error:
        return Found(name, None, error.why, error)
    except ManifestDamaged as error:
        return Found(name, None, error.message.rstrip("."), error)
    return Found(name, found)


def every(systems: Systems, newest: int = 0) -> list[Found]:
    """All sets, or so many of the newest, oldest first, each with its manifest. Raises ObjectsError."""
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    trust = Trust.of(systems.settings)
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda name: look(objects, bucket, name, trust), names(objects, bucket)[-newest:]))


def good(
    systems: Systems, wanted: str, *, part: str = "", unsigned: bool = False, from_elsewhere: bool = False
) -> Manifest:
    """The manifest of the set `wanted`: a short id, a whole name, or "latest", which is the newest that holds `part`
    (database, artifacts, config; any where it is empty), is signed by us, did not shrink, and has not failed its drill.

    unsigned: also one that is not proven to be ours, which must be named then. from_elsewhere: also one of another
    target. Raises OperatorError where there is none, or none that is good.
    """
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    trust = Trust.of(systems.settings, unsigned=unsigned, elsewhere=from_elsewhere)
    if wanted == LATEST:
        return _latest(objects, bucket, part, trust)
    asked = wanted.strip("/").removeprefix(PREFIX)
    matching = [name for name in names(objects, bucket) if asked in {id_of(name), name.strip("/").removeprefix(PREFIX)}]
    if not matching:
        known = names(objects, bucket)
        near = nearest(asked, [*map(id_of, known), *(name.strip("/").removeprefix(PREFIX) for name in known)])
        hint = f"Did you mean {near}? /mlflow backup list shows all." if near else "See /mlflow backup list."
        raise OperatorError(f"There is no backup {wanted[:60]} in {bucket}.", hint)
    if len(matching) > 1:
        raise OperatorError(f"{wanted} is the id of {len(matching)} sets.", "Give the whole name: /mlflow backup list.")
    found = look(objects, bucket, matching[0], trust)
    if found.refusal:
        raise found.refusal
    if found.manifest is None:
        raise OperatorError(
            f"The backup {wanted} is not good: {found.problem}.",
            "Only a finished set can be used: /mlflow backup list.",
        )
    if part and part not in found.manifest.parts:
        raise OperatorError(f"The backup {found.manifest.id} holds no {part}.", "See /mlflow backup list.")
    return found.manifest


def _latest(objects: Objects, bucket: str, part: str, trust: Trust) -> Manifest:
    if trust.unsigned:
        # Whoever can write to the bucket could put one there that is newer than all of ours.
        raise OperatorError(
            "`latest` is only ever a set that is proven to be ours; one that is not must be named.",
            "See /mlflow backup list, and give its id.",
        )
    refused: OperatorError | None = None
    for name in reversed(names(objects, bucket)):
        found = look(objects, bucket, name, trust)
        refused = refused or found.refusal
        if (
            found.manifest
            and (not part or part in found.manifest.parts)
            and not found.manifest.shrunk
            and not drilled_badly(objects, bucket, name)
        ):
            return found.manifest
    holding = f" that holds the {part}" if part else ""
    if refused:
        raise OperatorError(f"There is no good backup{holding} in {bucket}. {refused.message}", refused.hint)
    raise OperatorError(f"There is no finished backup{holding} in {bucket}.", "Make one: /mlflow backup.")


def cautions(systems: Systems, wanted: str, found: Manifest, *, part: str = "") -> tuple[str, ...]:
    """What whoever approves should know of the set that `good` found, a sentence each: what of it is not proven; or,
    where the latest was `wanted`, why none of the newer ones was taken.
    """
    told: list[str] = []
    trust = Trust.of(systems.settings)
    if wanted != LATEST:
        return trust.unproven(found)
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    for name in reversed(names(objects, bucket)):
        if name == found.name or len(told) == NEWER:
            break
        seen = look(objects, bucket, name, trust)
        if seen.manifest is None:
            why = seen.problem
        elif part and part not in seen.manifest.parts:
            why = f"it holds no {part}"
        elif seen.manifest.shrunk:
            told.append(
                f"Skipping {seen.id}, which lost {seen.manifest.losses}. If that was meant: /mlflow backup accept "
                f"{seen.id}"
            )
            continue
        else:
            why = f"it failed its drill: {drilled(objects, bucket, name)[1]}"
        told.append(f"The newer backup {seen.id} is passed over: {why.rstrip('.')}.")
    return tuple(told)


def drilled(objects: Objects, bucket: str, name: str) -> tuple[bool | None, str]:
    """Whether a set passed its last drill, None where it had none; and the problem where not. Raises ObjectsError."""
    for mark, well in ((DRILL_FAILED, False), (DRILL_PASSED, True)):
        try:
            told = json.loads(objects.read(bucket, f"{name}{mark}", at_most=_MARK_BYTES))
        except ObjectMissing:
            continue
        except ValueError:
            told = {}
        return well, str(told.get("problem") or "") if isinstance(told, dict) else ""
    return None, ""


def condemned(objects: Objects, bucket: str, of: Iterable[str]) -> frozenset[str]:
    """Those of these sets that failed their last drill."""
    every = list(of)
    with ThreadPoolExecutor(_READERS) as pool:
        failed = pool.map(lambda name: drilled_badly(objects, bucket, name), every)
        return frozenset(name for name, bad in zip(every, failed, strict=True) if bad)


def verdicts(objects: Objects, bucket: str, of: Iterable[str]) -> list[tuple[bool | None, str]]:
    """What `drilled` says of each of these sets."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda name: drilled(objects, bucket, name), of))


def drilled_badly(objects: Objects, bucket: str, name: str) -> bool:
    """Whether a drill has found that a set cannot be restored."""
    return objects.exists(bucket, f"{name}{DRILL_FAILED}")


def refuse_foreign(systems: Systems, found: Manifest) -> None:
    """Raise OperatorError where the set was made of another MLflow: its database or bucket has another name."""
    bucket, others = systems.settings.ops.storage.artifacts_bucket, []
    if found.database and found.database.database != systems.database.name:
        others.append(f"the database {found.database.database}, not {systems.database.name}")
    if found.artifacts and found.artifacts.bucket != bucket:
        others.append(f"the bucket {found.artifacts.bucket}, not {bucket}")
    if others:
        raise OperatorError(
            f"The backup {found.id} is of another MLflow: of {' and of '.join(others)}.",
            "If it is meant all the same, say --from-elsewhere.",
        )
