"""What is in the backup bucket: all sets, one set, and what they take up. Reads only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.operation import Operation, Progress, Risk
from workers.operations.backup import retention, seen, sets, summary
from workers.operations.choices import SETS
from workers.report import Facts, Offer, Report, Section, Status, Table, Text
from workers.wording import NOTHING, Figure, count, duration, listed, moment, size, thousands

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.operations.backup.sets import Found
    from workers.systems import Systems

ROWS_AT_MOST: Final = 20
SetId = Annotated[str, Field(min_length=1, max_length=100)]


class BackupList(Operation):
    """All sets, newest first. limit: how many are shown; all are counted."""

    name: ClassVar[str] = "backup-list"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 300

    limit: Annotated[int, Field(ge=1, le=SETS)] = SETS

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read every manifest. Raises ObjectsError."""
        progress.step("Reading the manifests")
        bucket = systems.settings.ops.storage.backups_bucket
        found = sets.every(systems)
        now = datetime.now(UTC)
        good = [each.manifest for each in found if each.manifest]
        bad = len(found) - len(good)
        kept = reasons(systems, found)
        shown = found[: -self.limit - 1 : -1]
        verdicts = sets.verdicts(systems.backups, bucket, [each.name for each in shown])
        seen.note(systems, zip(shown, verdicts, strict=True), now.timestamp())
        rows = tuple(
            _row(each, kept.get(each.name, "prune removes it"), now, verdict)
            for each, verdict in zip(shown, verdicts, strict=True)
        )
        columns = ("id", "begun (UTC)", "parts", "database", "artifacts", "kept as", "state")
        spare = ("kept as", "artifacts", "parts")
        table = Table(columns=columns, rows=rows, numeric=("database", "artifacts"), spare=spare)
        sections: list[Section] = [table] if rows else []
        if len(found) > self.limit:
            sections.append(Text(text=f"And {len(found) - self.limit} older ones."))
        if not good:
            summary = f"There is no finished backup in {bucket}" + (f"; {bad} are not good." if bad else ".")
            return Report(
                title="Backups", status=Status.WARN, summary=summary, sections=tuple(sections), hints=("backup",)
            )
        failed = sets.condemned(systems.backups, bucket, [each.name for each in good])
        sound = [each for each in good if not each.shrunk and each.name not in failed]
        told = [_newest(sound, bucket, now), *_unsound(good, failed)]
        told += [f"{count(bad, 'set')} unfinished or not readable"] if bad else []
        return Report(
            title="Backups",
            status=Status.OK if good[-1] in sound else Status.WARN,
            summary=f"{'; '.join(told)}.",
            sections=tuple(sections),
            offers=(Offer(sentence="Bring something back from one of these.", label="Restore …", command="restore"),),
            hints=("backup show latest", "backup verify latest", "backup usage"),
        )


def _newest(sound: list[Manifest], bucket: str, now: datetime) -> str:
    if not sound:
        return f"No good set in {bucket}"
    age = duration(max(0.0, (now - sound[-1].finished_at).total_seconds()))
    return f"{count(len(sound), 'good set')} in {bucket}; the newest, {sound[-1].id}, is {age} old"


def _unsound(good: list[Manifest], failed: frozenset[str]) -> list[str]:
    """How many are there that no restore takes by itself, and why."""
    shrank = [each for each in good if each.shrunk]
    told = [f"{count(len(shrank), 'set')} shrank, the last is {shrank[-1].id}"] if shrank else []
    return told + ([f"{count(len(failed), 'set')} failed the drill"] if failed else [])


class BackupShow(Operation):
    """One set. id: the short one, the whole name, or latest."""

    name: ClassVar[str] = "backup-show"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 120

    id: SetId = sets.LATEST

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read its manifest. Raises OperatorError where there is no such set, or it is not good."""
        progress.step("Reading the manifest")
        bucket = systems.settings.ops.storage.backups_bucket
        made = sets.good(systems, self.id)
        age = duration(max(0.0, (datetime.now(UTC) - made.finished_at).total_seconds()))
        return Report(
            title=f"Backup {made.id}",
            status=Status.WARN if made.warnings else Status.OK,
            summary=f"{listed(made.parts)}, {age} old, in s3://{bucket}/{made.name}",
            sections=(summary.table(made), *_details(made)),
            hints=(f"backup verify {made.id}", f"backup verify {made.id} --deep"),
        )


class BackupUsage(Operation):
    """What the backups take up."""

    name: ClassVar[str] = "backup-usage"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 1800

    def run(self, systems: Systems, progress: Progress) -> Report:
        """List the whole bucket once. Raises ObjectsError."""
        from workers.systems.s3.transfer import Transfer

        bucket = systems.settings.ops.storage.backups_bucket
        found = {each.name: each for each in sets.every(systems)}
        taken: dict[str, tuple[int, int]] = {}
        progress.step("Counting the objects in the bucket")
        seen = 0
        with Transfer.of(systems.backups, 1) as transfer:
            for item in transfer.items(bucket):
                name = _group(item.key, found)
                objects, total = taken.get(name, (0, 0))
                taken[name] = (objects + 1, total + item.size)
                seen += 1
                if seen % 1000 == 0:
                    progress.checkpoint()
                    progress.advance(seen, 0, "objects")
        total = sum(each for _, each in taken.values())
        rows = tuple((name, thousands(taken[name][0]), size(taken[name][1])) for name in sorted(taken))
        table = Table(columns=("what", "objects", "size"), rows=rows, numeric=("objects", "size"))
        of = [each.manifest.artifacts for each in found.values() if each.manifest and each.manifest.artifacts]
        apart = sum(each.bytes for each in of)
        kept = taken.get(_BYTES, (0, 0))[1]
        facts = [("together", size(total)), ("sets", str(len(found)))]
        if of and kept:
            facts.append(
                ("artifacts, were each set to keep its own", f"{size(apart)} ({apart / kept:.1f} times as much)")
            )
        return Report(
            title="Backup storage",
            status=Status.OK,
            summary=f"{size(total)} in {count(seen, 'object')} of {bucket}.",
            sections=(Facts(items=tuple(facts)), *((table,) if rows else ())),
            hints=("backup list", "backup prune --dry-run"),
        )


_BYTES: Final = "bytes of artifacts (objects/)"


def _group(key: str, found: dict[str, Found]) -> str:
    if key.startswith("objects/"):
        return _BYTES
    name = sets.name_in(key)
    if not name:
        return "other"
    known = found.get(name)
    return "dumps, listings and configurations of sets" if known and known.manifest else "unfinished sets"


def reasons(systems: Systems, found: list[Found]) -> dict[str, str]:
    """Why the retention keeps a good set, by its name; what is not there it does not keep. Raises ObjectsError."""
    good = [each for each in found if each.manifest is not None]
    bucket, ops = systems.settings.ops.storage.backups_bucket, systems.settings.ops
    failed = sets.condemned(systems.backups, bucket, [each.name for each in good])
    dated = [
        retention.Dated(each.name, each.begun, each.manifest.parts, each.manifest.shrunk, each.name in failed)
        for each in good
        if each.manifest is not None
    ]
    return retention.kept(dated, ops.backup.retention, ops.zone)


def _row(found: Found, kept_as: str, now: datetime, verdict: tuple[bool | None, str]) -> tuple[str, ...]:
    made = found.manifest
    age = duration(max(0.0, (now - found.begun).total_seconds()))
    begun = Figure(f"{found.begun:%Y-%m-%d %H:%M} ({age})", moment(found.begun).value, "time")
    if made is None:
        return (found.id, begun, NOTHING, NOTHING, NOTHING, NOTHING, found.problem)
    return (
        found.id,
        begun,
        " ".join(made.parts),
        size(made.database.bytes) if made.database else NOTHING,
        thousands(made.artifacts.objects) if made.artifacts else NOTHING,
        kept_as,
        _state(made, verdict),
    )


def _state(made: Manifest, verdict: tuple[bool | None, str]) -> str:
    """What a list says of a finished set, with what `sets.drilled` says of it."""
    well, problem = verdict
    if well is False:
        return f"failed its drill: {problem}"
    if made.shrunk:
        return f"SHRANK: lost {made.losses}"
    return f"{'good, with notes' if made.warnings else 'good'}{', passed its drill' if well else ''}"


def _details(made: Manifest) -> list[Section]:
    items = [
        ("name", made.name),
        ("begun", f"{made.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("finished", f"{made.finished_at:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    if made.mlflow_version:
        items.append(("MLflow", made.mlflow_version))
    rows: list[tuple[str, str]] = []
    if made.database:
        items += [
            ("database", f"{made.database.database}, {size(made.database.size_bytes)} on the server's disk"),
            ("server", f"PostgreSQL {made.database.server_version}, dumped by pg_dump {made.database.pg_dump_version}"),
            ("schema revision", made.database.alembic_revision or NOTHING),
            ("entries in the dump", thousands(made.database.entries)),
        ]
        most = sorted(made.database.rows.items(), key=lambda each: (-each[1], each[0]))
        rows = [(name, thousands(number)) for name, number in most[:ROWS_AT_MOST]]
    if made.configuration:
        items.append(("configuration", listed(made.configuration.objects, most=12)))
        items.append(("key", made.configuration.key_id or "none: WITHOUT SECRETS"))
    items.append(("encrypted", made.encrypted))
    if made.locked_until:
        items.append(("locked until", f"{made.locked_until:%Y-%m-%d %H:%M} UTC"))
    signed = (
        f"with key {made.signature.key_id}" if made.signature else "no: anyone who can write to the bucket can forge it"
    )
    items.append(("signed", signed))
    items += [("SHA-256", f"{each.sha256[:16]}… {each.key.rpartition('/')[2]}") for each in made.stored]
    sections: list[Section] = [Facts(items=tuple(items))]
    if rows:
        sections.append(Table(title="Rows", columns=("table", "rows"), rows=tuple(rows), numeric=("rows",)))
    if unset := summary.not_set_again(made):
        sections.append(Text(title="Not set again by a restore", text="\n".join(unset)))
    sections += [Text(title="Note", text=each) for each in made.warnings]
    return sections
