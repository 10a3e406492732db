"""A backup: database, artifacts and configuration as one set, read back, and called a backup only then.

The database comes first, so that every artifact that it names is in the set. The manifest comes last; killed at any
moment before, there is no set, and what is there is taken up or swept by the next run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import field_validator

from workers.errors import OperatorError
from workers.operation import Operation, Plan, Progress, Risk
from workers.operations.backup import (
    catalog_record,
    configuration,
    copies,
    damaged,
    database,
    encryption,
    explaining,
    leftovers,
    locking,
    made_since,
    manifest,
    outlook,
    parallel,
    places,
    seen,
    sets,
    shrinking,
    signing,
    summary,
)
from workers.operations.backup.encryption import Keys
from workers.operations.backup.locking import Locking
from workers.operations.backup.manifest import ArtifactsPart, ConfigurationPart, DatabasePart, Manifest
from workers.operations.backup.wal import access
from workers.operations.choices import PARTS
from workers.operations.storage import cache
from workers.report import Report
from workers.systems.errors import GatewayError
from workers.wording import count, duration, listed, size

if TYPE_CHECKING:
    from workers.operations.backup.artifacts.known import Sources
    from workers.systems import Systems
    from workers.systems.s3.transfer import Transfer

LOCK: Final = "backup"
CALLS_AT_ONCE: Final = 8
BUILT_ON_AT_MOST: Final = 20
"""Unfinished sets that a new one takes up."""
AHEAD_SECONDS: Final = 600
_WITHOUT_SECRETS: Final = "WITHOUT SECRETS: {}, so Secrets are not in this set and cannot be restored from it."


_READ_BACK: Final = "Read every part back"


class Backup(Operation):
    """Make a set. parts: of database, artifacts and config; empty for all."""

    name: ClassVar[str] = "backup"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (LOCK,)
    timeout_seconds: ClassVar[int] = 6 * 3600
    resumes: ClassVar[bool] = True

    parts: tuple[str, ...] = ()

    @field_validator("parts")
    @classmethod
    def _known_parts(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        for each in parts:
            if each not in PARTS:
                msg = f"there is no part {each!r} of a backup; there are {', '.join(PARTS)}"
                raise ValueError(msg)
        return tuple(each for each in PARTS if each in parts)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The parts that the set is to hold."""
        return self.parts or PARTS

    def plan(self, systems: Systems) -> Plan:
        """What would be read and where it would go. Raises OperatorError where pg_dump is missing."""
        ops = systems.settings.ops
        bucket = ops.storage.backups_bucket
        steps = []
        if "database" in self.wanted:
            from workers.systems.postgres import programs

            program = programs.find("pg_dump", systems.settings)
            steps += [
                f"Dump the database {each.name} with pg_dump {program.version}" for _, each in _databases(systems)
            ]
        if "artifacts" in self.wanted:
            how = "Encrypt" if encryption.for_data(systems.settings) else "Copy, as it is,"
            steps.append(f"{how} what is new of s3://{ops.storage.artifacts_bucket}")
        if "config" in self.wanted:
            steps.append(f"Export MLflow's objects from the namespace {ops.kubernetes.namespace}")
        read = [f"{_READ_BACK} and compare its checksum"] if {"database", "config"} & set(self.wanted) else []
        steps += [*read, "Write the manifest"]
        steps += [f"Copy the set to s3://{each.bucket} and compare it" for each in ops.backup.copies]
        warnings = _without_secrets(systems) if "config" in self.wanted else ()
        warnings += () if encryption.given(systems.settings) else (signing.NOT_SIGNED,)
        return Plan(
            title="Backup",
            summary=f"{listed(self.wanted)} to s3://{bucket}/{sets.PREFIX}",
            steps=tuple(steps),
            warnings=warnings,
            facts={"bucket": bucket, "parts": list(self.wanted)},
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Whether there is a set. Raises AlreadySo where there is."""
        return made_since.aftermath(systems, planned)

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Make the set. Raises OperatorError where any part fails: then there is no set."""
        made, swept = make(systems, progress, self.wanted)
        seen.made(systems, made)
        report = summary.report(made, systems.settings.ops.storage.backups_bucket, swept)
        return copies.told(report, copies.make(systems, made, progress))


def make(systems: Systems, progress: Progress, parts: tuple[str, ...]) -> tuple[Manifest, tuple[str, ...]]:
    """Make a set of these parts: its manifest, and the names of stale sets that were swept.

    Raises OperatorError, and Cancelled: then there is no set.
    """
    from workers.systems.s3.transfer import Transfer

    progress.step("Looking at the sets in the bucket")
    now = datetime.now(UTC)
    with Transfer.of(systems.backups, CALLS_AT_ONCE, locking.rule(systems.settings, now)) as transfer:
        making = _Making.begin(systems, transfer, progress, now)
        if "database" in parts:
            making.databases()
        if "artifacts" in parts:
            making.artifacts()
        if "config" in parts:
            making.configuration()
        making.read_back()
        return making.finish(), making.swept


@dataclass
class _Making:
    """A set that is being made. The store is asked through `transfer` only, which tries again what may be repeated."""

    systems: Systems
    transfer: Transfer
    bucket: str
    progress: Progress
    name: str
    known: list[str]
    began: datetime
    swept: tuple[str, ...] = ()
    made: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    places: places.Survey | None = None
    before: int = 0

    @classmethod
    def begin(cls, systems: Systems, transfer: Transfer, progress: Progress, now: datetime) -> _Making:
        bucket = systems.settings.ops.storage.backups_bucket
        transfer.objects.head_bucket(bucket)
        leftovers.abort_uploads(transfer, bucket)
        swept = leftovers.sweep(transfer, bucket, now)
        known = sets.names(transfer.objects, bucket)
        making = cls(systems, transfer, bucket, progress, sets.new_name(now, known), known, now, swept)
        begun = json.dumps({"begun": now.isoformat()}).encode()
        transfer.put(bucket, f"{making.name}{leftovers.BEGUN}", begun)
        ahead = (sets.begun(making.name) - now).total_seconds()
        if ahead > AHEAD_SECONDS:
            making.warnings.append(
                f"The clock here is {duration(ahead)} behind the newest set: one of the two was or is wrong."
            )
        return making

    def databases(self) -> None:
        for field_name, each in _databases(self.systems):
            self.progress.step(f"Database {each.name}: dumping", of=f"Dump the database {each.name} ")
            key = f"{self.name}{database.NAME if field_name == 'database' else database.AUTH_NAME}"
            last: DatabasePart | None = getattr(self._last(), field_name, None)
            expected = last.bytes if last else 0
            given = each, self.transfer, self.bucket, key, self.systems.settings, self.progress
            made = database.dump(*given, expected_bytes=expected)
            part = self.made[field_name] = made.model_copy(update={"system": access.system_of(self.systems)})
            self.progress.ended(f"{part.held}, {size(part.bytes)}")
            self.progress.checkpoint()

    def artifacts(self) -> None:
        objects = self.transfer.objects
        self.progress.step("Artifacts: asking where experiments keep theirs", of="what is new of")
        self.places = places.survey(self.systems)
        self.progress.step("Artifacts: copying what is new")
        sources = self._sources(damaged.noted(objects, self.bucket))
        bad = sources.distrust
        gone = self._copy(sources)
        part: ArtifactsPart = self.made["artifacts"]
        missing: tuple[str, ...] = ()
        if part.copied_objects:
            # What was kept before was seen to be there on the way.
            self.progress.step("Artifacts: looking whether all bytes are there")
            missing = self._missing_artifacts()
        if missing:
            # A set that builds on lost bytes would be lost as well, and so would all that come after it.
            self.progress.step("Artifacts: bytes of earlier sets are missing, copying them again")
            self._copy(replace(sources, distrust=bad.union(missing)))
            missing_still = self._missing_artifacts()
            if missing_still:
                what = f"What was copied is not in the bucket: {listed(missing_still)}."
                raise OperatorError(what, "Check the store; then ask again.")
        if bad or gone or missing:
            lost = count(gone + len(bad.union(missing)), "object")
            self.warnings.append(
                f"{lost} that earlier sets rely on had been lost or damaged in the bucket; what its artifacts "
                "still have was copied again."
            )
            damaged.forget(objects, self.bucket)
        part = self.made["artifacts"]
        if part.copied_objects or part.objects != self.before:
            # What `storage` has measured is not what is there, whoever changed it.
            cache.stale(self.systems.redis)
        if part.left_out_objects:
            self.warnings.append(
                f"NOT IN THIS SET: {count(part.left_out_objects, 'artifact')} ({size(part.left_out_bytes)}) that can't "
                f"be read: {listed(part.left_out)}. The next backup tries again."
            )
        self.warnings += self.places.warnings()
        self.progress.ended(f"{part.copied_objects:,} new of {count(part.objects, 'artifact')}")
        self.progress.checkpoint()

    def configuration(self) -> None:
        self.progress.step("Configuration: exporting", of="Export MLflow's objects")
        keys = encryption.for_configuration(self.systems.settings)
        part = configuration.store(
            self.systems.cluster, self.systems.settings.ops.kubernetes, keys, self.transfer, self.bucket, self.name
        )
        self.made["configuration"] = part
        self.warnings += _without_secrets(self.systems)
        self.warnings += [each for each in part.left_out if "no key is set" not in each]

    def read_back(self) -> None:
        for field_name, source in _databases(self.systems) if "database" in self.made else ():
            part: DatabasePart | None = self.made.get(field_name)
            if part:
                self.progress.step(f"Database {part.database}: reading back", of=_READ_BACK)
                entries = database.read_back(part, self.transfer, self.bucket, self.systems.settings, self.progress)
                self.made[field_name] = part.model_copy(update={"entries": entries})
                keys = Keys.of(self.systems.settings)
                lines = catalog_record.read(part, keys, self.transfer, self.bucket) or frozenset()
                self.warnings += (*catalog_record.lacking(part), *outlook.warnings(self.systems, source, part, lines))
        exported: ConfigurationPart | None = self.made.get("configuration")
        if exported:
            self.progress.step("Configuration: reading back", of=_READ_BACK)
            configuration.read(exported, Keys.of(self.systems.settings), self.transfer, self.bucket)

    def finish(self) -> Manifest:
        self.progress.checkpoint()
        self.progress.step("Writing the manifest", of="Write the manifest")
        keys = Keys.of(self.systems.settings)
        if keys is None:
            self.warnings.append(signing.NOT_SIGNED)
        locked = Locking.of(self.systems.settings, self.began)
        made = Manifest(
            name=self.name,
            id=sets.id_of(self.name),
            target=self.systems.settings.environment.target,
            started_at=self.began,
            finished_at=max(datetime.now(UTC), self.began),
            mlflow_version=_mlflow_version(self.systems),
            warnings=tuple(self.warnings),
            locked_until=locked.needed if locked else None,
            **self.made,
        )
        earlier = (seen for name in reversed(self.known) if (seen := self._look(name).manifest))
        made = shrinking.compared(
            made, earlier, self.systems.settings.ops.backup.shrink_warn, partial(explaining.explanations, self.systems)
        )
        made = signing.signed(made, keys) if keys else made
        manifest.store(made, self.transfer, self.bucket)
        self.transfer.delete(self.bucket, [f"{self.name}{leftovers.BEGUN}"])
        return made

    def _sources(self, bad: frozenset[str]) -> Sources:
        previous, last = self._previous()
        asked = parallel.BackupHelper(
            set_name=self.name,
            previous=previous,
            distrust=tuple(bad),
            sha256=last.listing.sha256 if last else "",
            objects=last.objects if last else 0,
        )
        others = self.places.items if self.places else None
        return replace(parallel.sources_of(self.systems, asked), others=others)

    def _copy(self, sources: Sources) -> int:
        """Of how many artifacts the bytes that earlier sets kept were gone; they are copied again."""
        from workers.operations.backup.artifacts import copying, spans
        from workers.systems.s3.attributes import acls

        ops, objects = self.systems.settings.ops, self.transfer.objects
        wanted = (ops.backup.helpers + 1) * parallel.SPANS_PER_WORKER
        cut = spans.cut(objects, sources, ops.backup.split_above, wanted) if ops.backup.helpers else []
        if cut:
            parallel.copy_together(self.systems, sources, cut, self.progress)
            self.progress.step("Artifacts: making the listing")
        done = copying.whole(objects, sources, self.progress, after_spans=bool(cut))
        elsewhere = self.places.left_out if self.places else ()
        self.made["artifacts"] = done.part(sources, elsewhere, acls(self.systems.objects, sources.source_bucket))
        return done.missing

    def _missing_artifacts(self) -> tuple[str, ...]:
        from workers.operations.backup.artifacts import verify

        part: ArtifactsPart = self.made["artifacts"]
        return verify(
            self.transfer.objects,
            self.bucket,
            self.name,
            deep=False,
            progress=self.progress,
            sha256=part.listing.sha256,
            keys=Keys.all_of(self.systems.settings),
            expected=part.objects,
        ).bad

    def _look(self, name: str) -> sets.Found:
        return sets.look(self.transfer.objects, self.bucket, name, signing.Trust.of(self.systems.settings))

    def _last(self) -> Manifest | None:
        """The newest finished set with a database."""
        for name in reversed(self.known):
            seen = self._look(name).manifest
            if seen and seen.database:
                return seen
        return None

    def _previous(self) -> tuple[tuple[str, ...], ArtifactsPart | None]:
        """The newest finished set with artifacts, and the unfinished ones that are newer, newest first; and what the
        finished one says of its artifacts.
        """
        found: list[str] = []
        for name in reversed(self.known):
            seen = self._look(name)
            if seen.refusal:
                # What its listing says of bytes would be signed with the new set.
                continue
            if seen.manifest and seen.manifest.artifacts:
                self.before = seen.manifest.artifacts.objects
                return (*found, name), seen.manifest.artifacts
            if seen.manifest is None and len(found) < BUILT_ON_AT_MOST:
                found.append(name)
        return tuple(found), None


def _without_secrets(systems: Systems) -> tuple[str, ...]:
    """That the configuration holds no secrets, and why; nothing where it does."""
    if encryption.for_configuration(systems.settings):
        return ()
    why = "backup.encrypt is none" if encryption.given(systems.settings) else "MLFLOW_OPS_BACKUP_KEY is not set"
    return (_WITHOUT_SECRETS.format(why),)


def _databases(systems: Systems) -> list[tuple[str, Any]]:
    """MLflow's database and, where there is one, basic-auth's; each with the manifest's name for it."""
    from workers.systems.postgres.database import Database

    found: list[tuple[str, Any]] = [("database", systems.database)]
    if systems.settings.environment.auth_database_url:
        found.append(("auth_database", Database.at(systems.settings, "auth_database_url")))
    return found


def _mlflow_version(systems: Systems) -> str:
    if systems.settings.environment.mlflow_tracking_uri is None:
        return ""
    try:
        return systems.tracking.version()
    except GatewayError:
        return ""
