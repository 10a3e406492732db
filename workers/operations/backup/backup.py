"""A backup: database, artifacts and configuration as one set, read back, and called a backup only then.

The database comes first, so that every artifact that it names is in the set. The manifest comes last; killed at any
moment before, there is no set, and what is there is taken up or swept by the next run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import field_validator

from workers.errors import OperatorError
from workers.operation import Operation, Plan, Progress, Risk
from workers.operations.backup import (
    catalog_record,
    configuration,
    damaged,
    database,
    leftovers,
    manifest,
    outlook,
    parallel,
    sets,
)
from workers.operations.backup.encryption import Keys
from workers.operations.backup.manifest import (
    ArtifactsPart,
    ConfigurationPart,
    DatabasePart,
    Manifest,
    Stored,
)
from workers.operations.choices import PARTS
from workers.report import Report, Status, Table, Text
from workers.systems import fencing
from workers.systems.errors import GatewayError
from workers.wording import NOTHING, count, duration, listed, size

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.s3.transfer import Transfer

LOCK: Final = "backup"
CALLS_AT_ONCE: Final = 8
BUILT_ON_AT_MOST: Final = 20
"""Unfinished sets that a new one takes up."""
AHEAD_SECONDS: Final = 600
_WITHOUT_KEY: Final = (
    "WITHOUT SECRETS: MLFLOW_OPS_BACKUP_KEY is not set, so Secrets are not in this set and cannot be restored from it."
)


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
            steps.append(f"Copy what is new of s3://{ops.storage.artifacts_bucket}")
        if "config" in self.wanted:
            steps.append(f"Export MLflow's objects from the namespace {ops.kubernetes.namespace}")
        steps += ["Read every part back and compare its checksum", "Write the manifest"]
        without_key = "config" in self.wanted and systems.settings.environment.backup_key is None
        return Plan(
            title="Backup",
            summary=f"{listed(self.wanted)} to s3://{bucket}/{sets.PREFIX}",
            steps=tuple(steps),
            warnings=(_WITHOUT_KEY,) if without_key else (),
            facts={"bucket": bucket, "parts": list(self.wanted)},
            seen={"at": datetime.now(UTC).replace(microsecond=0).isoformat()},
        )

    def carried_out(self, systems: Systems, planned: Plan) -> str:
        """A set whose manifest is there is a backup, whatever became of its worker."""
        made = _made_since(systems, planned)
        return f"The backup {made.id} is finished: its manifest was written." if made else ""

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Whether there is a set."""
        if made := _made_since(systems, planned):
            return f"The backup {made.id} is finished: see /mlflow backup show {made.id}."
        return "There is no new backup. What it had copied is taken up, or swept, by the next one."

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Make the set. Raises OperatorError where any part fails: then there is no set."""
        made, swept = make(systems, progress, self.wanted)
        return report(made, systems.settings.ops.storage.backups_bucket, swept)


def _made_since(systems: Systems, planned: Plan) -> sets.Found | None:
    """The newest finished set that was begun after this was planned."""
    if "at" not in planned.seen:
        return None
    at = datetime.fromisoformat(str(planned.seen["at"]))
    bucket = systems.settings.ops.storage.backups_bucket
    for name in reversed(sets.names(systems.backups, bucket)):
        if sets.begun(name) < at:
            return None
        found = sets.look(systems.backups, bucket, name)
        if found.manifest is not None:
            return found
    return None


def make(systems: Systems, progress: Progress, parts: tuple[str, ...]) -> tuple[Manifest, tuple[str, ...]]:
    """Make a set of these parts: its manifest, and the names of stale sets that were swept.

    Raises OperatorError, and Cancelled: then there is no set.
    """
    from workers.systems.s3.transfer import Transfer

    progress.step("Looking at the sets in the bucket")
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        making = _Making.begin(systems, transfer, progress, datetime.now(UTC))
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
            self.progress.step(f"Database {each.name}: dumping")
            key = f"{self.name}{database.NAME if field_name == 'database' else database.AUTH_NAME}"
            last: DatabasePart | None = getattr(self._last(), field_name, None)
            self.made[field_name] = database.dump(
                each,
                self.transfer,
                self.bucket,
                key,
                self.systems.settings,
                self.progress,
                expected_bytes=last.dump.bytes if last else 0,
            )
            self.progress.checkpoint()

    def artifacts(self) -> None:
        objects = self.transfer.objects
        self.progress.step("Artifacts: copying what is new")
        previous, bad = self._previous(), damaged.noted(objects, self.bucket)
        self._copy(previous, bad)
        self.progress.step("Artifacts: looking whether all bytes are there")
        missing = self._missing_artifacts()
        if missing:
            # A set that builds on lost bytes would be lost as well, and so would all that come after it.
            self.progress.step("Artifacts: bytes of earlier sets are missing, copying them again")
            self._copy(previous, bad.union(missing))
            missing_still = self._missing_artifacts()
            if missing_still:
                what = f"What was copied is not in the bucket: {listed(missing_still)}."
                raise OperatorError(what, "Check the store; then ask again.")
        if bad or missing:
            self.warnings.append(
                f"{count(len(bad.union(missing)), 'object')} that earlier sets rely on had been lost or damaged in the "
                "bucket; what its artifacts still have was copied again."
            )
            damaged.forget(objects, self.bucket)
        self.progress.checkpoint()

    def configuration(self) -> None:
        self.progress.step("Configuration: exporting")
        keys = Keys.of(self.systems.settings)
        part = configuration.store(
            self.systems.cluster, self.systems.settings.ops.kubernetes, keys, self.transfer, self.bucket, self.name
        )
        self.made["configuration"] = part
        if keys is None:
            self.warnings.append(_WITHOUT_KEY)
        self.warnings += [each for each in part.left_out if "no key is set" not in each]

    def read_back(self) -> None:
        for field_name, source in _databases(self.systems):
            part: DatabasePart | None = self.made.get(field_name)
            if part:
                self.progress.step(f"Database {part.database}: reading back")
                entries = database.read_back(part, self.transfer, self.bucket, self.systems.settings, self.progress)
                self.made[field_name] = part.model_copy(update={"entries": entries})
                keys = Keys.of(self.systems.settings)
                lines = catalog_record.read(part, keys, self.transfer, self.bucket) or frozenset()
                self.warnings += outlook.warnings(self.systems, source, part, lines)
        exported: ConfigurationPart | None = self.made.get("configuration")
        if exported:
            self.progress.step("Configuration: reading back")
            configuration.read(exported, Keys.of(self.systems.settings), self.transfer, self.bucket)

    def finish(self) -> Manifest:
        self.progress.checkpoint()
        self.progress.step("Writing the manifest")
        made = Manifest(
            name=self.name,
            id=sets.id_of(self.name),
            started_at=self.began,
            finished_at=max(datetime.now(UTC), self.began),
            mlflow_version=_mlflow_version(self.systems),
            warnings=tuple(self.warnings),
            **self.made,
        )
        content = made.text()
        fencing.before_changing()
        key = f"{self.name}{manifest.NAME}"
        self.transfer.put(self.bucket, key, content)
        _, pieces = self.transfer.open(self.bucket, key)
        if b"".join(pieces) != content:
            self.transfer.delete(self.bucket, [key])
            raise OperatorError("The manifest came back changed: there is no set.", "Check the store; then ask again.")
        self.transfer.delete(self.bucket, [f"{self.name}{leftovers.BEGUN}"])
        return made

    def _copy(self, previous: tuple[str, ...], bad: frozenset[str]) -> None:
        from workers.operations.backup.artifacts import copying, spans
        from workers.operations.backup.artifacts.listing import NAME

        ops, objects = self.systems.settings.ops, self.transfer.objects
        bucket = ops.storage.artifacts_bucket
        sources = copying.Sources(
            bucket, self.bucket, self.name, previous, distrust=bad, source=parallel.other_store(self.systems)
        )
        wanted = (ops.backup.helpers + 1) * parallel.SPANS_PER_WORKER
        cut = spans.cut(objects, sources, ops.backup.split_above, wanted) if ops.backup.helpers else []
        if cut:
            parallel.copy_together(self.systems, sources, cut, self.progress)
            self.progress.step("Artifacts: making the listing")
        done = copying.whole(objects, sources, self.progress, after_spans=bool(cut))
        self.made["artifacts"] = ArtifactsPart(
            listing=Stored(key=f"{self.name}{NAME}", bytes=done.listing_bytes, sha256=done.listing_sha256),
            bucket=bucket,
            objects=done.objects,
            bytes=done.bytes,
            copied_objects=done.copied_objects,
            copied_bytes=done.copied_bytes,
            changed=done.changed,
            vanished=done.vanished,
            seconds=done.seconds,
        )

    def _missing_artifacts(self) -> tuple[str, ...]:
        from workers.operations.backup.artifacts import verify

        return verify(self.transfer.objects, self.bucket, self.name, deep=False, progress=self.progress).bad

    def _last(self) -> Manifest | None:
        """The newest finished set with a database."""
        for name in reversed(self.known):
            seen = sets.look(self.transfer.objects, self.bucket, name).manifest
            if seen and seen.database:
                return seen
        return None

    def _previous(self) -> tuple[str, ...]:
        """The newest finished set with artifacts, and the unfinished ones that are newer; newest first."""
        found: list[str] = []
        for name in reversed(self.known):
            seen = sets.look(self.transfer.objects, self.bucket, name)
            if seen.manifest and seen.manifest.artifacts:
                return (*found, name)
            if seen.manifest is None and len(found) < BUILT_ON_AT_MOST:
                found.append(name)
        return tuple(found)


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


def report(made: Manifest, bucket: str, swept: tuple[str, ...] = ()) -> Report:
    """What was made, for people."""
    took = (made.finished_at - made.started_at).total_seconds()
    notes = [*made.warnings]
    if made.artifacts and (made.artifacts.changed or made.artifacts.vanished):
        notes.append(
            f"While it ran, {count(len(made.artifacts.changed), 'artifact')} changed and "
            f"{len(made.artifacts.vanished)} vanished: {listed((*made.artifacts.changed, *made.artifacts.vanished))}."
        )
    if swept:
        notes.append(f"Removed {count(len(swept), 'unfinished set')} older than a day: {listed(swept)}.")
    total = sum(each.bytes for each in made.stored)
    loud = " WITHOUT SECRETS." if made.configuration and not made.configuration.secrets else ""
    return Report(
        title=f"Backup {made.id}",
        status=Status.WARN if made.warnings else Status.OK,
        summary=f"{listed(made.parts)} are in s3://{bucket}/{made.name}, read back and compared "
        f"({size(total + (made.artifacts.copied_bytes if made.artifacts else 0))} written in {duration(took)}).{loud}",
        sections=(table(made), *(Text(title="Note", text=each) for each in notes)),
        hints=(f"backup show {made.id}", f"backup verify {made.id}", "backup list"),
    )


def table(made: Manifest) -> Table:
    """A line for each part."""
    rows: list[tuple[str, str, str, str]] = []
    for title, part in (("database", made.database), ("auth database", made.auth_database)):
        if part:
            held = f"{len(part.rows)} tables, {count(sum(part.rows.values()), 'row')}"
            rows.append((title, held, size(part.dump.bytes), _pace(part.dump.bytes, part.seconds)))
    if made.artifacts:
        of = made.artifacts
        held = f"{count(of.objects, 'object')} ({size(of.bytes)}), {of.copied_objects:,} new"
        rows.append(("artifacts", held, size(of.copied_bytes), _pace(of.copied_bytes, of.seconds)))
    if made.configuration:
        held = f"{count(len(made.configuration.objects), 'object')}, " + (
            f"encrypted with key {made.configuration.key_id}" if made.configuration.secrets else "without secrets"
        )
        rows.append(("config", held, size(made.configuration.document.bytes), f"{made.configuration.seconds:.1f} s"))
    return Table(columns=("part", "holds", "written", "took"), rows=tuple(rows), numeric=("written",))


def _pace(number: int, seconds: float) -> str:
    if seconds <= 0:
        return NOTHING
    return f"{seconds:.1f} s, {size(number / seconds)}/s"
