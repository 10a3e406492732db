"""What a command says in Slack: that it was asked, how far it is, and its report, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Final

from workers.records.message import Message
from workers.records.requester import BY_CLOCK
from workers.rendering import tables, visuals
from workers.rendering.blocks import (
    BLOCKS,
    CHARTS,
    MESSAGE_BYTES,
    SECTION_TEXT,
    Block,
    at,
    called,
    code,
    context,
    cut,
    escape,
    in_one_line,
    link,
    literal,
    paragraphs,
    per_message,
    plain,
    section,
    short,
    weight,
    whom,
)
from workers.rendering.older import older
from workers.rendering.plans import walked
from workers.rendering.terminal import to_terminal
from workers.rendering.walk import Ended, Walk
from workers.report import Attachment, Chart, Check, Facts, Lead, Links, Report, Section, Status, Table, Text
from workers.wording import NOTHING, Linked, count

DETAIL_MESSAGES = 4
"""What needs more messages than these becomes a file."""
MANY_CHECKS = 4
"""So many are a table."""
THREAD_CHARACTERS = 40
"""Of fixed width in a line of a thread, whose window is 340 pixels wide."""
FOOT_BYTES = 1500
"""What is kept free for a message's foot, and for a block that is put at its end."""

EMOJI = {
    Status.OK: ":white_check_mark:",
    Status.WARN: ":warning:",
    Status.FAIL: ":x:",
    Status.UNKNOWN: ":grey_question:",
}


def approved(by: tuple[str, ...], moment: float | None) -> str:
    """Who approved it and when; empty where nobody had to."""
    return f"approved by {' and '.join(f'<@{user}>' for user in by)} at {at(moment)}" if by else ""


def calling(message: Message, ids: tuple[str, ...]) -> Message:
    """The same message, that begins with who is called; itself where nobody is."""
    if not ids:
        return message
    line = section(f":rotating_light: On call: {called(ids)}")
    return replace(message, text=f"{called(ids)} {message.text}", blocks=[line, *message.blocks[: BLOCKS - 1]])


def and_also(message: Message, block: Block) -> Message:
    """The same message with a block at its end."""
    return replace(message, blocks=[*message.blocks[: BLOCKS - 1], block])


FORGOTTEN: Final = (
    "Redis lost its latest writes, and what became of this command with them. It may have been carried out."
)
AFTER_FORGOTTEN: Final = "See /mlflow status, and ask again if it wasn't."


def asked(words: str, requester: str) -> Message:
    """The root message of a command that has just been accepted."""
    text = f":hourglass_flowing_sand: {code('/mlflow ' + words)} asked by {whom(requester)}"
    return Message(text=short(f"/mlflow {words}"), blocks=[section(text)])


def under_way(words: str, requester: str, step: str, figure: str, walk: Walk | None = None) -> Message:
    """The root message while the command runs. walk: its steps so far, and those that are planned."""
    text = f":hourglass_flowing_sand: {code('/mlflow ' + words)} asked by {whom(requester)}"
    told = f"/mlflow {words}: {step}"
    if walk is None or max(walk.begun, len(walk.planned)) == 1:
        return Message(text=short(told), blocks=[section(f"{text}\n{plain(step)} {plain(figure)}".rstrip())])
    steps = walk.steps(figure.lstrip(" ·"))
    if walk.planned:
        done = sum(each.state == "complete" and each.at >= 0 for each in steps)
        title = f"{done} of {count(len(walk.planned), 'step')} done"
        told = f"{told} ({title})"
    else:
        title = f"Step {walk.begun}"
    return Message(text=short(told), blocks=[section(text), walked(title, steps)])


def steps_taken(words: str, ended: Ended) -> Message:
    """For the thread of a command that has ended: what it did, step by step."""
    return Message(text=short(f"/mlflow {words}: {ended.title}"), blocks=[walked(ended.title, ended.steps)])


def failed(  # noqa: PLR0913 - all that is told of it
    words: str, requester: str, message: str, hint: str, decided: str = "", *, holder: str = ""
) -> Message:
    """The root message of a command that did not do what was asked: why, and what now. decided: who approved it.
    holder: who asked for what stands in its way.
    """
    lines = [f":x: {code('/mlflow ' + words)} failed: {plain(message)}"]
    if holder:
        lines.append(f"That was asked by {whom(holder)}.")
    if hint:
        lines.append(plain(hint))
    lines.append(f"_asked by {whom(requester)}{f', {decided}' if decided else ''}_")
    return Message(text=short(f"/mlflow {words} failed: {message}"), blocks=paragraphs("\n".join(lines)))


def stopped(words: str, requester: str, message: str) -> Message:
    """The root message of a command that was stopped. message: mrkdwn of our own."""
    text = f":octagonal_sign: {code('/mlflow ' + words)} was {message}\n_asked by {whom(requester)}_"
    return Message(text=short(f"/mlflow {words} was stopped"), blocks=paragraphs(text))


def root(report: Report, words: str, requester: str, decided: str = "", *, to_do: Sequence[Block] = ()) -> Message:
    """A finished report in the channel: the verdict, then a line for each check that is not well, worst first, and one
    for the rest. decided: who approved it. to_do: blocks that stand above its foot.
    """
    headline = f"{EMOJI[report.status]} *{plain(report.title)}*: {plain(report.summary)}"
    charts = _in_sight(report)
    to_do = [*(block for each in charts for part in parts_of(each) for block in part), *to_do]
    if report.lead:
        return _read_at_once(report, headline, words, requester, to_do)
    lines = [_check_line(check) for check in report.checks if check.status is not Status.OK]
    if lines and len(lines) < len(report.checks):
        lines.append(f"{EMOJI[Status.OK]} {count(len(report.checks) - len(lines), 'other check')} OK")
    blocks = paragraphs(headline)
    room = MESSAGE_BYTES - weight([*blocks, *to_do]) - FOOT_BYTES
    if lines and len("\n".join(lines).encode()) > room:
        # The thread has them whole.
        lines = [cut(line, max(0, room // len(lines) - 2), in_bytes=True) for line in lines]
    blocks += paragraphs("\n".join(lines)) if lines else []
    asked_by = f"{code('/mlflow ' + words)} asked by {whom(requester)}"
    foot = [asked_by, *([decided] if decided else ()), f"{report.took_seconds:.1f} s"]
    if report.checks or report.attachments or len(report.sections) > len(charts):
        foot.append("details in the thread")
    blocks = [*blocks[: BLOCKS - len(to_do) - 1], *to_do]
    blocks.append(context(" · ".join(foot)))
    return Message(text=short(f"{report.title}: {report.summary}"), blocks=blocks)


def _read_at_once(report: Report, headline: str, words: str, requester: str, to_do: Sequence[Block]) -> Message:
    """A report whose lines stand in its message; a screen reader gets them all. Who asked is told of people only."""
    lines = [headline, *map(_lead, report.lead)]
    blocks = [*paragraphs("\n".join(lines))[: BLOCKS - len(to_do) - 1], *to_do]
    if not requester.startswith(BY_CLOCK):
        asked_by = f"{code('/mlflow ' + words)} asked by {whom(requester)}"
        blocks.append(context(asked_by))
    spoken = [f"{report.title}: {report.summary}", *map(_spoken, report.lead)]
    spoken += [f"To do: {offer.sentence}" for offer in report.offers]
    return Message(text=cut(escape("\n".join(spoken)), SECTION_TEXT), blocks=blocks)


def _lead(line: Lead) -> str:
    by = f" ({', '.join(map(whom, line.by))})" if line.by else ""
    return (f"*{plain(line.name)}*: " if line.name else "") + plain(line.text) + by


def _spoken(line: Lead) -> str:
    return f"{line.name}: {line.text}" if line.name else line.text


def details(report: Report) -> list[Message]:
    """The rest of a report, for its thread, in as few messages as Slack's limits allow.

    A message takes one table, so where there are many the short ones are lines. Where it is long all the same: how it
    begins, all of it as a file, and what to type next.
    """
    told = short(f"{report.title}: details")
    next_ = [section("Next: " + " · ".join(code("/mlflow " + hint) for hint in report.hints))] if report.hints else []
    for native in (always, long_only):
        parts = list(_parts(report, native))
        messages = [Message(told, group) for group in per_message([*parts, next_] if next_ else parts)]
        if len(messages) <= DETAIL_MESSAGES:
            break
    else:
        messages = [Message(told, next(per_message(parts))), _as_file(report)]
        messages += [Message(told, next_)] if next_ else []
    return [*messages, *files(report.title, report.attachments)]


def _parts(report: Report, native: Native) -> Iterator[list[Block]]:
    """What is told, in pieces that stay together."""
    many = len(report.checks) >= MANY_CHECKS
    if many:
        yield from _table_parts(_checks(report.checks), report.title, always)
    for check in report.checks:
        if not many or check.status is not Status.OK:
            yield from ([block] for block in _check_blocks(check))
        elif check.details:
            yield [section(f"*{plain(check.title)}*")]
        for each in check.details:
            yield from parts_of(each, f"{report.title}: {check.title}", native)
    elsewhere = [*_in_sight(report), *_in_cells(report, native)]
    for each in report.sections:
        if each not in elsewhere:
            yield from parts_of(each, report.title, native)


def files(title: str, attachments: Iterable[Attachment]) -> list[Message]:
    """The files that go with a report or a plan, for its thread."""
    return [
        Message(
            short(each.alt.partition(".")[0] if each.alt else f"{title}: {each.filename}"),
            [],
            each.filename,
            each.content,
            each.alt,
            each.in_sight,
        )
        for each in attachments
    ]


def _as_file(report: Report) -> Message:
    from io import StringIO

    from rich.console import Console

    page = Console(file=StringIO(), width=160, highlight=False, color_system=None)
    to_terminal(report, page, details=True, wide=True)
    name = re.sub(r"\W+", "-", report.title).strip("-").lower()
    return Message(short(f"{report.title}: all details"), [], f"{name}.txt", page.file.getvalue())  # type: ignore[attr-defined]


def _in_sight(report: Report) -> list[Section]:
    """The charts that stand in the channel: as many as a message takes."""
    drawn: list[Section] = [
        each for each in report.sections if isinstance(each, Chart) and each.in_sight and visuals.native(each)
    ]
    return drawn[:CHARTS]


def _in_cells(report: Report, native: Native) -> list[Section]:
    """The links to which cells of Slack's own tables lead already."""
    shown = (each for each in report.sections if isinstance(each, Table) and native(each))
    led = {cell.url for table in shown for row in table.rows for cell in row if isinstance(cell, Linked)}
    return [each for each in report.sections if isinstance(each, Links) and {url for _, url in each.items} <= led]


def _checks(checks: Sequence[Check]) -> Table:
    """All answers beside each other; of those that are not ok more is said below."""
    rows = tuple(
        (each.title, each.status.value, each.figure, each.sentence, each.look_further or NOTHING) for each in checks
    )
    return Table(title="Checks", columns=("check", "verdict", "figure", "answer", "look further"), rows=rows)


def _check_line(check: Check) -> str:
    figure = f" {plain(check.figure)}" if check.figure else ""
    return f"{EMOJI[check.status]} *{plain(check.title)}*{figure} — {plain(check.sentence)}"


def _check_blocks(check: Check) -> list[Block]:
    look = f"\nLook further: {code(check.look_further)}" if check.look_further else ""
    look += f"\nNext: {code('/mlflow ' + check.command)}" if check.command else ""
    return paragraphs(_check_line(check) + look)


Native = Callable[[Table], bool]
"""Whether a table is shown as Slack's own."""


def always(_table: Table) -> bool:
    """Each is."""
    return True


def long_only(table: Table) -> bool:
    """Those that people sort and filter."""
    return len(table.rows) > tables.SHORT


def parts_of(shown: Section, about: str = "", native: Native = always) -> Iterator[list[Block]]:
    """A section of a report as Slack shows it, in pieces of which each stays in one message. about: what a table is
    called that has no title of its own.
    """
    if isinstance(shown, Table):
        yield from _table_parts(shown, about or "Table", native)
        return
    if isinstance(shown, Chart) and (drawn := visuals.native(shown)):
        yield [drawn]
        return
    if shown.title:
        yield [section(f"*{plain(shown.title)}*")]
    match shown:
        case Chart():
            made = list(literal(visuals.in_words(shown)))
        case Facts(items=items):
            made = paragraphs("\n".join(f"{plain(name)}: {plain(value)}" for name, value in items))
        case Links(items=items):
            made = paragraphs("\n".join(link(name, url) for name, url in items))
        case Text(text=text, literal=True):
            made = list(literal(text.splitlines()))
        case Text(text=text):
            made = paragraphs(plain(text))
    yield from ([block] for block in made)


def blocks_of(shown: Section) -> Iterator[Block]:
    """A section of a report in blocks that stand anywhere, in a modal too."""
    for part in parts_of(shown):
        yield from older(part)


def _table_parts(table: Table, about: str, native: Native) -> Iterator[list[Block]]:
    title = [section(f"*{plain(table.title)}*")] if table.title else []
    made = tables.native(table, about) if native(table) else None
    if made and made[0]["type"] == "data_table":
        # Its caption is its title, as far as it goes.
        if len(table.title) > tables.TITLE:
            yield title
        yield from ([block] for block in made)
    elif made:
        yield [*title, *made]
    else:
        lines = list(tables.lines(table))
        breaks = 0 < len(table.rows) <= tables.SHORT and any(len(line) > THREAD_CHARACTERS for line in lines)
        shown = paragraphs("\n".join(_told(table))) if breaks else list(literal(lines))
        yield [*title, *shown[:1]]
        yield from ([block] for block in shown[1:])


def _told(table: Table) -> Iterator[str]:
    """Each row as a line of text, which a narrow window may break anywhere: what it is of, and what it has."""
    for row in table.rows[: table.screenful or None]:
        named = list(zip_longest(table.columns, row, fillvalue=""))
        name, cell = named.pop(table.identity)
        has = " · ".join(f"{plain(name)} {_cell(cell)}".strip() for name, cell in named)
        yield " ".join(filter(None, ("•", plain(name), f"*{_cell(cell)}*"))) + (f": {has}" if has else "")


def _cell(text: str) -> str:
    shown = in_one_line(str(text)) or NOTHING
    return link(shown, text.url) if isinstance(text, Linked) else plain(shown)
