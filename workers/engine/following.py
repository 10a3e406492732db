"""What waits for somebody outside: no worker and no lock waits with it; the scheduler has a worker look now and then.

A command that raised `Later` is in the phase `proposed`. Its record keeps how it goes on (`continuation`) and when to
look next; each look is a small job on the queue `quick` that nobody claims, because it only reads: what a look that
comes late or twice finds is written once, or not at all. Once there is more to do than to look, it is queued for an
`ops` worker like any other, to be claimed and to give signs of life.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog

from workers.engine import queues
from workers.records.message import Message, draft
from workers.records.record import Phase, Record
from workers.records.store import Records
from workers.rendering import blocks, buttons
from workers.rendering import message as render
from workers.rendering.walk import Walk

if TYPE_CHECKING:
    from redis import Redis

    from workers.operation import Later
    from workers.records.message import Draft

LOST_SECONDS = 120.0
"""A look that has not told its result for so long was lost, and is made again."""

_log = structlog.get_logger(__name__)


def begin(record: Record, later: Later, redis: Redis) -> Phase:
    """From its run to waiting. The phase that it is in afterwards."""
    _log.info("waits for somebody outside", step=later.step)
    return _move(record, later, redis, Phase.RUNNING, claim=record)


def go_on(record: Record, later: Later, redis: Redis) -> Phase:
    """After a look that found nothing final. The phase that it is in afterwards."""
    if later.seconds <= 0:
        return _to_a_worker(record, later, redis)
    if Records(redis).step(record.id).get("step") == later.step:
        Records(redis).update(record.id, **_fields(record, later))
        return Phase.PROPOSED
    return _move(record, later, redis, Phase.PROPOSED)


def look_if_due(record: Record, redis: Redis, now: float) -> None:
    """Queue its next look, if it is time. For the scheduler's sweep."""
    if now < (record.look_at or 0):
        return
    looks = record.looks + 1
    Records(redis).update(record.id, look_at=now + LOST_SECONDS, looks=looks)
    queues.enqueue_look(record.model_copy(update={"looks": looks}), redis)


def _move(record: Record, later: Later, redis: Redis, before: Phase, claim: Record | None = None) -> Phase:
    records = Records(redis)
    fields = {"phase": Phase.PROPOSED, **_fields(record, later)}
    if not records.move(record.id, *_said(record, later), before=before, claim=claim, **fields):
        _log.warning("ended by somebody else")
        return Phase.PROPOSED
    records.tell_step(record.id, later.step)
    return Phase.PROPOSED


def _to_a_worker(record: Record, later: Later, redis: Redis) -> Phase:
    fields: dict[str, Any] = {**queues.handed_over_fields(record), "queue": queues.OPS}
    fields["continuation"] = later.then.model_dump(mode="json")
    job = queues.run_job(record.model_copy(update=fields), redis)
    Records(redis).move(record.id, *_said(record, later), before=Phase.PROPOSED, job=job, **fields)
    return Phase.QUEUED


def _fields(record: Record, later: Later) -> dict[str, Any]:
    return {
        "continuation": later.then.model_dump(mode="json"),
        "look_at": time.time() + later.seconds,
        "looks": record.looks,
    }


def _said(record: Record, later: Later) -> list[Draft]:
    """The step as the command's first message shows it, and as a line in its thread, where it stays."""
    walk = Walk((record.plan or {}).get("steps", ()), goes_on=True)
    walk.begin(later.step, later.of)
    shown = render.under_way(record.words, record.requester, later.step, "", walk)
    shown = render.and_also(render.calling(shown, record.calls), buttons.row(record, buttons.CANCEL))
    link = f" {blocks.link('Open it', later.url)}" if later.url else ""
    line = Message(text=blocks.short(later.step), blocks=blocks.paragraphs(f"{blocks.plain(later.step)}{link}"))
    return [draft("edit", shown), draft("reply", line)]
