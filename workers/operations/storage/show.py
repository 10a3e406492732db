"""What the artifacts take: how much, whose, since last week, and what is of no use."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.storage import chart as picturing
from workers.operations.storage.cache import (
    WEEK_SECONDS,
    Group,
    Measurement,
    Orphan,
    Point,
    a_week_before,
    keep,
    last,
    points,
)
from workers.operations.storage.measuring import Amount, Known, Measured, Measuring
from workers.report import Facts, Report, Section, Status, Table, Text
from workers.systems.redis import if_there
from workers.wording import NOTHING, Figure, count, duration, moment, share, size, thousands

if TYPE_CHECKING:
    from workers.operations.storage.locations import Owner
    from workers.systems import Systems
    from workers.systems.mlflow.artifact_owners import ArtifactOwners, Expected

EXPECTED_MOST: Final = 200_000
"""Owners that are looked for at most: some 30 MB."""
SHOWN_ORPHANS: Final = 20
_BAR: Final = 12
_SHARES: Final = ("size", "objects", "share", "growth")
_KEPT_GROUPS: Final = 1000


class Storage(Operation):
    """Size and count of the artifacts. fresh: list the bucket again, though it was within the hour."""

    name: ClassVar[str] = "storage"
    risk: ClassVar[Risk] = Risk.READ
    long: ClassVar[bool] = True
    resumes: ClassVar[bool] = True
    timeout_seconds: ClassVar[int] = 2 * 3600

    by: Literal["experiment", "prefix"] = "experiment"
    top: Annotated[int, Field(ge=1, le=100)] = 20
    fresh: bool = False

    def run(self, systems: Systems, progress: Progress) -> Report:
        """List, or take what was listed within the hour, and report."""
        bucket = systems.settings.ops.storage.artifacts_bucket
        redis, _ = if_there(systems)  # without it all is listed, and compared with nothing
        kept = last(redis, bucket) if redis and not self.fresh else None
        measurement = kept or measure(systems, progress)
        if redis and kept is None:
            keep(redis, measurement)
        history = points(redis, bucket) if redis else []
        report = _report(measurement, a_week_before(history, measurement), self.by, self.top)
        if kept:
            age = duration(max(0.0, time.time() - kept.at))
            report = report.model_copy(update={"summary": f"{age} ago: {report.summary}"})
        if not measurement.objects:
            return report
        progress.step("Drawing it")
        groups = measurement.experiments if self.by == "experiment" else measurement.prefixes
        named = [(_called(measurement, each, self.by), each) for each in groups]
        picture = picturing.drawn(f"By {self.by}", named, history, systems.settings.ops.zone)
        chart = picturing.beside(f"Artifacts by {self.by}", named)
        return report.model_copy(update={"attachments": (picture,), "sections": (*report.sections, chart)})


def measure(systems: Systems, progress: Progress) -> Measurement:
    """List the whole bucket. Raises ObjectsError and Cancelled; MLflow's database may be away."""
    from workers.systems.mlflow.artifact_owners import ArtifactOwners
    from workers.systems.s3.listing import AT_ONCE, Lister
    from workers.systems.s3.transfer import Transfer

    bucket = systems.settings.ops.storage.artifacts_bucket
    began, at = time.monotonic(), time.time()
    progress.step("Asking MLflow's database what should be there")
    versioning = systems.objects.versioning(bucket)
    owners, expected, why_not = _expected(systems, ArtifactOwners)
    measuring = Measuring(_known(owners), (each.id for each in expected))
    progress.step(f"Listing {bucket}")
    with Transfer.of(systems.objects, AT_ONCE) as transfer:
        for page in Lister(transfer, bucket, versions=versioning != "Off").pages():
            progress.checkpoint()
            measuring.take(page)
            progress.advance(measuring.found.total.objects, 0, "objects")
        progress.step("Looking for unfinished uploads")
        uploads = [pending.since.timestamp() for pending in transfer.uploads(bucket, "")]
    found = measuring.end()
    names = _names(owners, found)
    gone = [each for each in expected if each.id in found.missing]
    return Measurement(
        bucket=bucket,
        at=at,
        took_seconds=time.monotonic() - began,
        objects=found.total.objects,
        bytes=found.total.bytes,
        experiments=_groups(found.experiments),
        prefixes=_groups(found.prefixes),
        names=names,
        versioning=versioning,
        old=found.old.objects,
        old_bytes=found.old.bytes,
        markers=found.markers,
        uploads=len(uploads),
        oldest_upload=min(uploads, default=None),
        orphan_owners=len(found.orphans),
        orphan_objects=sum(each.objects for each in found.orphans.values()),
        orphan_bytes=sum(each.bytes for each in found.orphans.values()),
        orphans_cut=found.orphans_cut,
        orphans=_orphans(found),
        gone_owners=len(gone),
        gone=tuple(_gone(each) for each in gone[:SHOWN_ORPHANS]),
        why_not=why_not,
    )


def _expected(systems: Systems, kind: type[ArtifactOwners]) -> tuple[ArtifactOwners | None, list[Expected], str]:
    try:
        owners = kind(systems.database)
        return owners, owners.expected(EXPECTED_MOST), ""
    except OperatorError as error:
        return None, [], error.message


def _known(owners: ArtifactOwners | None) -> Known | None:
    if owners is None:
        return None

    def known(asked: list[Owner]) -> set[str]:
        by_kind: dict[str, list[str]] = {}
        for each in asked:
            by_kind.setdefault(each.kind, []).append(each.id)
        return owners.known(by_kind)

    return known


def _names(owners: ArtifactOwners | None, found: Measured) -> dict[str, str]:
    try:
        largest = [group.name for group in _groups(found.experiments)]
        wanted = {*largest, *(each.experiment for each in found.orphan_owners.values())}
        return owners.experiment_names(sorted(wanted)) if owners else {}
    except OperatorError:
        return {}


def _groups(groups: dict[str, Amount]) -> tuple[Group, ...]:
    ranked = sorted(groups.items(), key=lambda item: (-item[1].bytes, item[0]))
    return tuple(Group(name=name, objects=each.objects, bytes=each.bytes) for name, each in ranked[:_KEPT_GROUPS])


def _orphans(found: Measured) -> tuple[Orphan, ...]:
    ranked = sorted(found.orphans.items(), key=lambda item: (-item[1].bytes, item[0]))[:SHOWN_ORPHANS]
    return tuple(
        Orphan(
            id=name,
            kind=found.orphan_owners[name].kind,
            experiment=found.orphan_owners[name].experiment,
            objects=each.objects,
            bytes=each.bytes,
        )
        for name, each in ranked
    )


def _gone(expected: Expected) -> Orphan:
    named = expected.name if not expected.versions else f"{expected.name} → {expected.versions}"
    return Orphan(id=expected.id, kind=expected.kind, experiment=expected.experiment, named=named)


def _report(found: Measurement, before: Point | None, by: str, top: int) -> Report:
    at = moment(found.at)
    growth, since = "", ""
    if before is not None:
        growth, since = f"{_more(found.bytes - before.bytes)} since {moment(before.at)}", moment(before.at)
    facts = [
        ("bucket", found.bucket),
        ("listed", f"{at}, in {duration(found.took_seconds)}; again with --fresh"),
        ("growth", _growth(found, before)),
        ("old versions", _versions(found)),
        ("unfinished uploads", _uploads(found)),
    ]
    troubles = []
    if found.orphan_owners:
        least = "at least " if found.orphans_cut else ""
        troubles.append(
            f"{least}{size(found.orphan_bytes)} of {least}{count(found.orphan_owners, 'run')}, models or traces that "
            "MLflow no longer knows"
        )
    if found.gone_owners:
        troubles.append(f"{count(found.gone_owners, 'run or model')} whose artifacts are gone")
    summary = f"{count(found.objects, 'artifact')}, {size(found.bytes)}{f', {growth}' if growth else ''}"
    summary = f"{summary}; {'; '.join(troubles)}." if troubles else f"{summary}."
    sections: list[Section] = [Facts(items=tuple(facts)), _shares(found, before, by, top, since)]
    if found.why_not:
        text = f"{found.why_not} So orphans could not be told, and experiments are shown by their ids."
        sections.append(Text(title="Not looked at", text=text))
    sections += _orphan_tables(found)
    return Report(
        title="Artifact storage",
        status=Status.WARN if found.gone_owners or found.orphan_owners or found.why_not else Status.OK,
        summary=summary,
        sections=tuple(sections),
        hints=("storage --by prefix" if by == "experiment" else "storage --by experiment", "backup usage"),
    )


def _shares(found: Measurement, before: Point | None, by: str, top: int, since: str) -> Table:
    groups = found.experiments if by == "experiment" else found.prefixes
    earlier = (before.experiments if by == "experiment" else before.prefixes) if before else {}
    most = groups[0].bytes if groups else 0
    named = bool(found.names) and by == "experiment"
    rows = []
    for each in groups[:top]:
        label = (found.names.get(each.name, NOTHING), each.name) if named else (each.name,)
        grown = _more(each.bytes - earlier[each.name]) if each.name in earlier else "new" if before else NOTHING
        part = each.bytes / found.bytes if found.bytes else 0
        rows.append((*label, size(each.bytes), thousands(each.objects), share(part), grown, _bar(each.bytes, most)))
    left = len(groups) - len(rows)
    title = f"By {by}, the largest first" + (f" ({left} more)" if left > 0 else "")
    title += f"; growth since {since}" if since else ""
    columns = (by, *(("id",) if named else ()), *_SHARES, "")
    return Table(title=title, columns=columns, rows=tuple(rows), numeric=_SHARES, spare=("", "objects", "share"))


def _called(found: Measurement, each: Group, by: str) -> str:
    named = found.names.get(each.name) if by == "experiment" else None
    return f"{named} ({each.name})" if named else each.name


def _orphan_tables(found: Measurement) -> Iterable[Section]:
    if found.orphans:
        rows = tuple(
            (
                each.id,
                each.kind,
                found.names.get(each.experiment, each.experiment),
                thousands(each.objects),
                size(each.bytes),
            )
            for each in found.orphans
        )
        more = found.orphan_owners - len(rows)
        title = "MLflow no longer knows" + (f" ({more:,} more)" if more else "")
        columns = ("of", "kind", "experiment", "objects", "size")
        yield Table(title=title, columns=columns, rows=rows, numeric=columns[3:])
    if found.gone:
        gone = tuple(
            (each.id, each.kind, found.names.get(each.experiment, each.experiment), each.named or NOTHING)
            for each in found.gone
        )
        more = found.gone_owners - len(gone)
        title = "Artifacts are gone" + (f" ({more:,} more)" if more else "")
        yield Table(title=title, columns=("of", "kind", "experiment", "name → model version"), rows=gone)


def _growth(found: Measurement, before: Point | None) -> str:
    if before is None:
        return "not known yet: this is the first listing that is remembered"
    since = found.at - before.at
    short = "" if since >= WEEK_SECONDS else f" (no listing is a week old; this one is {duration(since)} older)"
    objects = found.objects - before.objects
    return f"{_more(found.bytes - before.bytes)}, {objects:+,} objects since {moment(before.at)}{short}"


def _versions(found: Measurement) -> str:
    if found.versioning == "Off":
        return "the bucket keeps none"
    markers = f", {count(found.markers, 'mark')} of deleted ones" if found.markers else ""
    return f"{size(found.old_bytes)} in {found.old:,}{markers} (versioning is {found.versioning})"


def _uploads(found: Measurement) -> str:
    if not found.uploads or found.oldest_upload is None:
        return "none"
    return f"{found.uploads:,}, the oldest since {moment(found.oldest_upload)}; their parts take room"


def _bar(part: int, whole: int) -> str:
    return "█" * max(1, round(_BAR * part / whole)) if whole and part else ""


def _more(number: int) -> Figure:
    return Figure(f"+{size(number)}" if number >= 0 else f"-{size(-number)}", number, "bytes")
