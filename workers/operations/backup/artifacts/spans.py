"""Copying in many places at once: a bucket's keys are cut into spans, and whoever has time takes the next one.

What a span copies is written down as parts of the set's listing, just as an interrupted run leaves them; the run that
makes the whole listing afterwards finds them and copies only what is missing. So a span that nobody finished costs time
and nothing else. Spans are of the artifacts' own bucket; what is in others is left to that last run.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from itertools import islice, pairwise, takewhile
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from workers.errors import SetDamaged
from workers.operations.backup.artifacts import listing
from workers.operations.backup.artifacts.copying import Run, begin
from workers.operations.backup.artifacts.writing import NoListing, Notes
from workers.operations.backup.encryption import NONE, WrongKey
from workers.systems.errors import ObjectMissing
from workers.systems.s3.transfer import Transfer

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.artifacts.known import Sources
    from workers.systems.s3.objects import Objects

PARTS_IN_SPAN: Final = 1000
"""Numbers for parts that each span has; a part holds 2,000 artifacts or 20 seconds' work, as a rule."""
SPANS_AT_MOST: Final = 99
_FOLDERS_AT_MOST: Final = 10_000


class Span(BaseModel):
    """The keys after `after` up to `until`, and with it; empty: from the beginning, to the end. number: from 1 on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    after: str = ""
    until: str = ""


def cut(objects: Objects, sources: Sources, above: int, wanted: int) -> list[Span]:
    """`wanted` spans of about the same size; none where the bucket has no more than `above` objects."""
    with Transfer.of(objects, 1) as transfer:
        marks = _marks(transfer, sources, above, min(wanted, SPANS_AT_MOST))
    edges = ["", *marks, ""]
    return [
        Span(number=number, after=after, until=until)
        for number, (after, until) in enumerate(pairwise(edges), 1)
        if marks
    ]


def _marks(transfer: Transfer, sources: Sources, above: int, wanted: int) -> list[str]:
    """Keys that cut the bucket into `wanted` pieces: the last listing knows, else its folders tell."""
    if sources.previous and sources.sha256:
        if sources.objects <= above:
            return []
        with suppress(SetDamaged, WrongKey, ObjectMissing):
            name = listing.key(transfer, sources.backup_bucket, sources.previous[-1])
            keys = sources.keys or NONE
            found = listing.entries(transfer, sources.backup_bucket, name, sources.sha256, keys)
            step = max(1, sources.objects // wanted)
            ours = (each.key for each in found if not each.bucket)
            return list(islice(ours, step, None, step))[: wanted - 1]
    with Transfer.of(sources.source or transfer.objects, 1) as origin:
        if len(list(islice(origin.items(sources.source_bucket), above + 1))) <= above:
            return []
        return _folders(origin.objects, sources.source_bucket, wanted)


def _folders(objects: Objects, bucket: str, wanted: int) -> list[str]:
    """MLflow's layout is experiment/run/artifacts: the experiments, or where there is one only, its runs."""
    found = list(islice(objects.folders(bucket, ""), _FOLDERS_AT_MOST))
    if len(found) == 1:
        found = list(islice(objects.folders(bucket, found[0]), _FOLDERS_AT_MOST))
    step = max(1, len(found) // wanted)
    return found[step::step][: wanted - 1]


def copy_span(objects: Objects, sources: Sources, span: Span, progress: Progress) -> int:
    """Copy what is new within a span; how many artifacts that were. Raises ObjectsError and Cancelled."""
    with ExitStack() as stack:
        place = begin(objects, sources, stack)
        notes = Notes(place.target, sources, written=span.number * PARTS_IN_SPAN)
        run = Run(place.copier, place.pool, NoListing(), notes, progress, 0)
        found = place.origin.items(sources.source_bucket, after=span.after)
        within = takewhile(lambda item: not span.until or item.key <= span.until, found)
        run.walk(within, place.known)
        notes.flush()
    return run.copied_objects


def announce(objects: Objects, sources: Sources) -> None:
    """Write down which sets this one builds on, so that nobody sweeps their bytes meanwhile."""
    with Transfer.of(objects, 1) as transfer:
        body = json.dumps({"previous": sources.previous}).encode()
        transfer.put(sources.backup_bucket, f"{sources.set_name}{listing.BASES}", body)
