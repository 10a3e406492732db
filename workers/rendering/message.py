"""What a command says in Slack: that it was asked, how far it is, and its report, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from workers.records.message import Message
from workers.records.requester import BY_CLOCK
from workers.rendering.blocks import (
    BLOCKS,
    SECTION_TEXT,
    Block,
    at,
    called,
    code,
    context,
    cut,
    escape,
    link,
    literal,
    paragraphs,
    per_message,
    plain,
    section,
    short,
    whom,
)
from workers.rendering.terminal import to_terminal
from workers.report import Attachment, Check, Facts, Lead, Links, Report, Section, Status, Table, Text

DETAIL_MESSAGES = 4
"""What needs more messages than these becomes a file."""

EMOJI = {
    Status.OK: ":white_check_mark:",
    Status.WARN: ":warning:",
    Status.FAIL: ":x:",
    Status.UNKNOWN: ":grey_question:",
}
_CELL = 60


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


def asked(words: str, requester: str) -> Message:
    """The root message of a command that has just been accepted."""
    text = f":hourglass_flowing_sand: {code('/mlflow ' + words)} asked by {whom(requester)}"
    return Message(text=short(f"/mlflow {words}"), blocks=[section(text)])


def under_way(words: str, requester: str, step: str, figure: str) -> Message:
    """The root message while the command runs."""
    text = f":hourglass_flowing_sand: {code('/mlflow ' + words)} asked by {whom(requester)}\n{plain(step)}"
    return Message(text=short(f"/mlflow {words}: {step}"), blocks=[section(f"{text} {plain(figure)}".rstrip())])


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
    """A finished report in the channel: the verdict, then one line per check, worst first. decided: who approved it.
    to_do: blocks that stand above its foot.
    """
    headline = f"{EMOJI[report.status]} *{plain(report.title)}*: {plain(report.summary)}"
    if report.lead:
        return _read_at_once(report, headline, words, requester, to_do)
    lines = [_check_line(check) for check in report.checks]
    blocks = [*paragraphs(headline), *paragraphs("\n".join(lines))] if lines else paragraphs(headline)
    asked_by = f"{code('/mlflow ' + words)} asked by {whom(requester)}"
    foot = [asked_by, *([decided] if decided else ()), f"{report.took_seconds:.1f} s"]
    if report.checks or report.sections or report.attachments:
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

    Where it is long: how it begins, all of it as a file, and what to type next.
    """
    blocks: list[Block] = []
    for check in report.checks:
        blocks.extend(_check_blocks(check))
    for each in report.sections:
        blocks.extend(blocks_of(each))
    told = short(f"{report.title}: details")
    next_ = [section("Next: " + " · ".join(code("/mlflow " + hint) for hint in report.hints))] if report.hints else []
    messages = [Message(told, group) for group in per_message([*blocks, *next_])]
    if len(messages) > DETAIL_MESSAGES:
        messages = [Message(told, next(per_message(blocks))), _as_file(report)]
        messages += [Message(told, next_)] if next_ else []
    return [*messages, *files(report.title, report.attachments)]


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
    to_terminal(report, page, details=True)
    name = re.sub(r"\W+", "-", report.title).strip("-").lower()
    return Message(short(f"{report.title}: all details"), [], f"{name}.txt", page.file.getvalue())  # type: ignore[attr-defined]


def _check_line(check: Check) -> str:
    figure = f" {plain(check.figure)}" if check.figure else ""
    return f"{EMOJI[check.status]} *{plain(check.title)}*{figure} — {plain(check.sentence)}"


def _check_blocks(check: Check) -> Iterator[Block]:
    look = f"\nLook further: {code(check.look_further)}" if check.look_further else ""
    yield from paragraphs(_check_line(check) + look)
    for each in check.details:
        yield from blocks_of(each)


def blocks_of(shown: Section) -> Iterator[Block]:
    """A section of a report as Slack shows it."""
    if shown.title:
        yield section(f"*{plain(shown.title)}*")
    match shown:
        case Facts(items=items):
            yield from paragraphs("\n".join(f"{plain(name)}: {plain(value)}" for name, value in items))
        case Links(items=items):
            yield from paragraphs("\n".join(link(name, url) for name, url in items))
        case Table():
            yield from literal(_columns(shown))
        case Text(text=text, literal=True):
            yield from literal(text.splitlines())
        case Text(text=text):
            yield from paragraphs(plain(text))


def _columns(table: Table) -> list[str]:
    """A table in fixed width: a row per line, numbers to the right, long cells cut with an ellipsis."""
    rows = [[_clip(cell) for cell in row] for row in (table.columns, *table.rows[: table.screenful or None])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    right = {i for i, column in enumerate(table.columns) if column in table.numeric}
    lines = []
    for row in rows:
        cells = (cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(row))
        lines.append("  ".join(cells).rstrip())
    return lines


def _clip(cell: str) -> str:
    flat = " ".join(cell.split())
    return flat if len(flat) <= _CELL else flat[: _CELL - 1] + "…"
