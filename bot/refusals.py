"""What is said instead, where Slack takes a message in no way: in another form, elsewhere, to who asked in person.

What is said in place of a message is put into the outbox in its place and delivered like any other, so nothing of it is
lost or said twice. No refusal holds up what comes behind it, a pin or a file least of all; and none is told as a
failure of what was asked unless nothing was done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from bot.slack_errors import Answer, Kind
from workers.records.message import Draft, Message, draft
from workers.records.record import Ending, Phase
from workers.records.requester import is_person
from workers.rendering import blocks, forms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.records.message import Kind as KindOfMessage
    from workers.records.outbox import Entry
    from workers.records.record import Record
    from workers.records.store import Records

FILES: Final = frozenset({"file", "picture"})
PINS: Final = frozenset({"pin", "unpin"})
BESIDE: Final = FILES | PINS
"""What no words wait for."""

_log = structlog.get_logger(__name__)


class Refusals:
    """What stands in a refused message's place. stewards: ids of people and groups, told where nobody asked."""

    def __init__(self, records: Records, stewards: tuple[str, ...]) -> None:
        self._records = records
        self._stewards = stewards

    def instead(self, answer: Answer, entry: Entry, record: Record) -> list[Draft]:  # noqa: PLR0911 - a way out each
        """The messages that take its place; none where it need not be said. Raises redis.exceptions.RedisError."""
        if answer.kind is Kind.MOOT or entry.kind in PINS:
            return []
        if entry.kind in FILES:
            return _as_text(answer, entry)
        by_content = answer.kind in {Kind.CONTENT, Kind.UNKNOWN, Kind.GONE}
        if entry.kind == "direct":
            another = by_content and entry.form < forms.ONE_LINE
            return _next_form(entry) if another else self._nowhere(answer, entry)
        if answer.kind is Kind.THREAD and not entry.apart:
            return self._apart(entry, record)
        if entry.kind == "edit" and (answer.kind is Kind.GONE or (by_content and entry.form >= forms.PLAIN)):
            return self._anew(answer, entry, record)
        if by_content and entry.form < forms.ONE_LINE:
            return _next_form(entry)
        return self._in_person(answer, entry, record)

    def _apart(self, entry: Entry, record: Record) -> list[Draft]:
        """In the channel: where no replies are allowed, or the thread is locked or gone."""
        if entry.kind in {"root", "edit"}:
            self._records.update(record.id, beneath="", thread_ts=None)
        kind: KindOfMessage = "reply" if entry.kind == "broadcast" else entry.kind
        return [draft(kind, Message(entry.text, entry.blocks), form=entry.form, apart=True)]

    def _anew(self, answer: Answer, entry: Entry, record: Record) -> list[Draft]:
        """A message that can't be changed: where it was deleted, another in its place; else what it ends with stands in
        its thread and in the channel.
        """
        message = Message(entry.text, entry.blocks)
        if answer.why == "message_not_found":
            self._records.update(record.id, root_ts=None)
            return [draft("root", message, form=entry.form)]
        if record.phase.ended or record.phase is Phase.PENDING:
            return [draft("broadcast", message, form=entry.form)]
        return []

    def _in_person(self, answer: Answer, entry: Entry, record: Record) -> list[Draft]:
        """The channel is closed to us: who asked is told in a direct message; the stewards, where nobody asked."""
        asked = is_person(record.requester)
        if entry.kind == "root":
            self._records.update(record.id, closed=answer.why)
        if entry.kind == "root" and asked and not record.phase.ended:
            return self._begun_in_person(answer, record)
        if entry.kind in {"root", "edit"} and not record.phase.ended and record.phase is not Phase.PENDING:
            # What runs by the clock is done all the same; how far something is, is not told in person.
            return []
        if not asked and (entry.kind not in {"root", "edit"} or (record.phase is Phase.DONE and record.worker)):
            _log.error("told nowhere: its channel is closed to me, and nobody asked for it", text=entry.text)
            return []
        if not asked:
            where = f"I can't post this in <#{record.channel}>: {answer.in_words}."
            shown = [blocks.section(where), *_without_buttons(entry.blocks)]
            return self._direct(Message(f"{where} {entry.text}", shown[: blocks.BLOCKS]), record)
        return self._direct(Message(entry.text, _without_buttons(entry.blocks)), record)

    def _begun_in_person(self, answer: Answer, record: Record) -> list[Draft]:
        """A command whose first message is refused: ended, unless it was begun."""
        words = blocks.code(f"/mlflow {record.words}")
        closed = f"I can't post in <#{record.channel}>: {answer.in_words}."
        outcome = f"Nothing was done: I can't post in its channel, {answer.in_words}."
        nothing = f"Nothing was done for {words}. {closed} {answer.to_do}"
        # The end and the words about it are one step: whoever tries this again finds both, or neither.
        ended = Ending(Phase.FAILED, outcome, tuple(self._direct(_plainly(nothing), record)))
        if self._records.finish(record.id, ended, before=Phase.ACCEPTED):
            return []
        known = self._records.get(record.id)
        if known and known.outcome == outcome:
            return []
        return self._direct(_plainly(f"{closed} I'll tell you here what comes of {words}."), record)

    def _direct(self, message: Message, record: Record) -> list[Draft]:
        if is_person(record.requester):
            return [draft("direct", message)]
        if not self._stewards:
            _log.error("told nowhere: nobody asked for it, and ops.yaml names no admin", text=message.text)
        return [draft("direct", message, to=each) for each in self._stewards]

    def _nowhere(self, answer: Answer, entry: Entry) -> list[Draft]:
        _log.error("told nowhere: the direct message is refused too", why=answer.why, text=entry.text)
        return []


def _plainly(text: str) -> Message:
    return Message(text, [blocks.section(text)])


def _next_form(entry: Entry) -> list[Draft]:
    """The same in the next form that is another."""
    here: dict[str, Any] = {"apart": entry.apart and entry.kind == "reply"} | ({"to": entry.to} if entry.to else {})
    form = entry.form
    while form < forms.ONE_LINE:
        form += 1
        first, *rest = forms.in_form(form, entry.text, entry.blocks)
        if (first.text, first.blocks) != (entry.text, entry.blocks):
            break
    after: KindOfMessage = "direct" if entry.kind == "direct" else "reply"
    return [draft(entry.kind, first, form=form, **here), *(draft(after, each, form=form, **here) for each in rest)]


def _as_text(answer: Answer, entry: Entry) -> list[Draft]:
    why = answer.in_words
    if entry.alt:
        said = f"{entry.text} (a picture, in words: {why})\n{blocks.escape(entry.alt)}"
        return [draft("reply", Message(blocks.cut(said, blocks.SHORT_TEXT), blocks.paragraphs(said)))]
    return [draft("reply", each) for each in forms.file_as_text(entry.text, entry.content, why)]


def _without_buttons(shown: Iterable[blocks.Block]) -> list[blocks.Block]:
    """Buttons work in a command's own channel and at home only."""
    return [
        {name: value for name, value in block.items() if name != "accessory"}
        for block in shown
        if block["type"] != "actions"
    ]
