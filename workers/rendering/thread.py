"""A Slack thread as the place where progress is shown: what an operation says goes into its outbox.

Workers know no Slack token: the bot's senders deliver (bot/sender.py). A new step edits the root message, and figures
do at most once in `EDIT_SECONDS`; where Redis is away it is dropped: it is no reason to fail. Where the command is
somebody else's by now, or has ended, nothing is said, and whoever runs it is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from workers.operation import Cancelled, how_far, pace
from workers.records.message import draft
from workers.records.outbox import Outbox
from workers.records.record import Ending, Phase
from workers.rendering import blocks, buttons
from workers.rendering import message as render
from workers.rendering.walk import Walk

if TYPE_CHECKING:
    from workers.records.message import Draft, Kind, Message
    from workers.records.record import Record
    from workers.records.store import Records
    from workers.report import Report

EDIT_SECONDS = 1.0
LOOK_SECONDS = 0.5
STEPS_TOLD = 2
"""What had fewer is told in its report alone."""

_log = structlog.get_logger(__name__)


class SlackThread:
    """The progress of one record, in its thread."""

    def __init__(  # noqa: PLR0913 - all but the first two by name
        self,
        outbox: Outbox,
        record: Record,
        records: Records | None = None,
        *,
        walk: Walk | None = None,
        cancellable: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        no_longer_ours: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._record = record
        self._records = records
        self._looked = monotonic()
        self._monotonic = monotonic
        self._step = ""
        self._walk = walk or Walk(monotonic=monotonic)
        self._began = monotonic()
        self._edited = monotonic()
        self._cancellable = cancellable
        self._should_stop = should_stop
        self._no_longer_ours = no_longer_ours

    def step(self, name: str, of: str = "") -> None:
        """See Progress."""
        self._step = name
        self._walk.begin(name, of)
        self._began = self._monotonic()
        self._show("")

    def advance(self, done: int, total: int, unit: str) -> None:
        """See Progress."""
        took = self._monotonic() - self._began
        share = min(1.0, done / total) if total > 0 else None
        # How far it was last told is not how far it came, unless that was all.
        if 0 < total <= done:
            self._walk.said(how_far(done, total, unit))
        self._edit(f"{how_far(done, total, unit)}{pace(done, total, unit, took)}", share)

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """See Progress; shown with what follows."""
        self._walk.ended(said, well=well)

    def checkpoint(self) -> None:
        """See Progress; Redis is asked at most once in LOOK_SECONDS."""
        if self._should_stop():
            raise Cancelled
        now = self._monotonic()
        if self._records is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            asked = self._records.asked_to_stop(self._record.id)
        except RedisError:
            return
        if asked:
            raise Cancelled

    def _edit(self, figure: str, share: float | None) -> None:
        now = self._monotonic()
        if now - self._edited >= EDIT_SECONDS:
            self._show(figure, share)

    def _show(self, figure: str, share: float | None = None) -> None:
        self._edited = self._monotonic()
        message = render.under_way(self._record.words, self._record.requester, self._step, figure, self._walk)
        message = render.calling(message, self._record.calls)
        if self._cancellable:
            message = render.and_also(message, buttons.row(self._record, buttons.CANCEL))
        words = draft("edit", message)
        try:
            if self._records is None:
                self._outbox.push(self._record.id, words)
                return
            ours = self._records.tell(self._record, words, step=self._step, figure=figure, share=share)
            # Where Redis has lost the claim, it is written anew: what nobody else has is not given up.
            ours = ours or self._records.holds(self._record)
        except RedisError as error:
            _log.warning("progress could not be shown", error=type(error).__name__)
            return
        if not ours:
            self._no_longer_ours()


def success(record: Record, report: Report, phase: Phase = Phase.DONE) -> Ending:
    """The report replaces the root message, its details go into the thread."""
    to_do = [buttons.offer(record, number, offer) for number, offer in enumerate(report.offers[: buttons.OFFERS])]
    root = render.root(report, record.words, record.requester, _decided(record), to_do=to_do)
    root = render.calling(root, record.calls)
    if report.undo:
        root = render.and_also(root, buttons.row(record, buttons.UNDO))
    pin = [draft("pin", root)] if report.pinned else []
    replies = (draft(_kind(each), each) for each in render.details(report))
    return Ending(phase, report.summary, (draft("edit", root), *pin, *replies))


def walked(record: Record, walk: Walk, ending: Ending) -> tuple[Draft, ...]:
    """What a change did, step by step, for its thread; nothing where that was one step, or none, or it only read."""
    if record.plan is None or record.quiet or not walk.begun or max(len(walk.planned), walk.begun) < STEPS_TOLD:
        return ()
    if ending.phase is Phase.CANCELLED:
        ended = walk.end("stopped", "Stopped")
    else:
        ended = walk.end("" if ending.phase is Phase.DONE else ending.outcome or str(ending.phase))
    return (draft("reply", render.steps_taken(record.words, ended)),)


def _kind(message: Message) -> Kind:
    if not message.filename:
        return "reply"
    return "picture" if message.in_sight else "file"


def failure(record: Record, message: str, hint: str, *, again: bool = False, holder: str = "") -> Ending:
    """It failed: why, and what now. again: with a button to ask for it again. holder: who asked for what stands in
    its way.
    """
    words = render.failed(record.words, record.requester, message, hint, _decided(record), holder=holder)
    words = render.calling(words, record.calls)
    if again:
        words = render.and_also(words, buttons.row(record, buttons.AGAIN))
    return Ending(Phase.FAILED, message, (draft("edit", words),))


def _decided(record: Record) -> str:
    if record.break_glass:
        return f":rotating_light: break-glass: {blocks.plain(record.break_glass)}"
    if record.more:
        return f"{record.more:,} more like it"
    return render.approved(record.decided_by, record.decided_at)


def cancellation(record: Record, message: str) -> Ending:
    """It was stopped."""
    return Ending(Phase.CANCELLED, message, (draft("edit", render.stopped(record.words, record.requester, message)),))
