"""What a set that was made holds, and what it lacks, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.operations.backup import places
from workers.report import Report, Status, Table, Text
from workers.systems.mlflow import contents
from workers.wording import NOTHING, count, duration, listed, size

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest


def report(made: Manifest, bucket: str, swept: tuple[str, ...] = ()) -> Report:
    """What was made, for people."""
    took = (made.finished_at - made.started_at).total_seconds()
    notes = [*made.warnings, *(f"Fewer than before, as asked: {each}." for each in made.explained)]
    if made.artifacts and (made.artifacts.changed or made.artifacts.vanished):
        notes.append(
            f"While it ran, {count(len(made.artifacts.changed), 'artifact')} changed and "
            f"{len(made.artifacts.vanished)} vanished: {listed((*made.artifacts.changed, *made.artifacts.vanished))}."
        )
    if made.artifacts and (made.artifacts.attributes or made.artifacts.storage_classes):
        notes.append(f"A restore does not set again: {'; '.join(not_set_again(made))}.")
    if swept:
        notes.append(f"Removed {count(len(swept), 'unfinished set')} older than a day: {listed(swept)}.")
    total = sum(each.bytes for each in made.stored)
    shrank = f"SHRANK: it lost {made.losses} since {made.shrank_since}. " if made.shrunk else ""
    loud = " WITHOUT SECRETS." if made.configuration and not made.configuration.secrets else ""
    return Report(
        title=f"Backup {made.id}",
        status=Status.WARN if made.warnings else Status.OK,
        summary=f"{shrank}{listed(made.parts, 'are')} in s3://{bucket}/{made.name}, read back and compared "
        f"({size(total + (made.artifacts.copied_bytes if made.artifacts else 0))} written in {duration(took)}).{loud}",
        sections=(table(made), *(Text(title="Note", text=each) for each in notes)),
        hints=(f"backup show {made.id}", f"backup verify {made.id}", "backup list"),
    )


def lacking(made: Manifest) -> tuple[str, ...]:
    """A sentence for each thing of MLflow's that is in no set, as far as this one knows."""
    part = made.artifacts
    if part is None:
        return ()
    said = [f"{each[:1].upper()}{each[1:]}" for each in map(places.told, part.elsewhere)]
    if part.left_out_objects:
        said.append(f"{count(part.left_out_objects, 'artifact')} ({size(part.left_out_bytes)}) couldn't be read.")
    return tuple(said)


def not_set_again(made: Manifest) -> tuple[str, ...]:
    """What of artifacts a restore does not set again, and how many have it; what is the default is left out."""
    part = made.artifacts
    if part is None:
        return ()
    named = {f"storage class {name}": number for name, number in part.storage_classes.items()} | part.attributes
    counted = (f"{count(number, 'artifact')} with {name}" for name, number in sorted(named.items()))
    unseen = (
        "" if part.key_id else "encryption and locks of single objects, which are not seen while the store copies them"
    )
    return tuple(filter(None, (*counted, part.acls, unseen)))


def table(made: Manifest) -> Table:
    """A line for each part."""
    rows: list[tuple[str, str, str, str]] = []
    for title, part in (("database", made.database), ("auth database", made.auth_database)):
        if part:
            held = f"{len(part.rows)} tables, {count(sum(part.rows.values()), 'row')}, {_how(part.dump.key_id)}"
            if of_mlflow := contents.told(part.rows):
                held += f": {', '.join(of_mlflow)}"
            if part.apart:
                held += f"; in {len(part.dumps)} streams"
            rows.append((title, held, size(part.bytes), _pace(part.bytes, part.seconds)))
    if made.artifacts:
        of = made.artifacts
        held = f"{count(of.objects, 'object')} ({size(of.bytes)}), {of.copied_objects:,} new, {_how(of.key_id)}"
        rows.append(("artifacts", held, size(of.copied_bytes), _pace(of.copied_bytes, of.seconds)))
        rows += [
            (f"of these, in {each.bucket}", f"{count(each.objects, 'object')} ({size(each.bytes)})", NOTHING, NOTHING)
            for each in of.others
        ]
    if made.configuration:
        held = f"{count(len(made.configuration.objects), 'object')}, " + (
            f"encrypted with key {made.configuration.key_id}" if made.configuration.secrets else "without secrets"
        )
        rows.append(("config", held, size(made.configuration.document.bytes), f"{made.configuration.seconds:.1f} s"))
    return Table(columns=("part", "holds", "written", "took"), rows=tuple(rows), numeric=("written",))


def _how(key_id: str) -> str:
    return "encrypted" if key_id else "not encrypted"


def _pace(number: int, seconds: float) -> str:
    if seconds <= 0:
        return NOTHING
    return f"{seconds:.1f} s, {size(number / seconds)}/s"
