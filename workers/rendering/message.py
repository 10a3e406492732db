"""Report → Block Kit, and → a terminal. The only module that knows either.

Slack refuses what is too long instead of shortening it, so every text is cut or split to Slack's limits here:
3,000 characters in a section, 150 in a header, 50 blocks in a message (docs.slack.dev/reference/block-kit/blocks).
Whatever comes from outside (a pod's name, a log line) goes through `escape`: it can neither mention anybody nor end
a code span.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workers.report import Attachment, Check, Facts, Lead, Links, Report, Section, Status, Table, Text

if TYPE_CHECKING:
    from rich.console import Console

Block = dict[str, Any]

SECTION_TEXT = 3000
BLOCKS = 50
MESSAGE_TEXT = 12_000
"""Kept below what Slack answers msg_blocks_too_long to; its documentation names no figure."""

DETAIL_MESSAGES = 4
"""What needs more messages than these becomes a file."""

EMOJI = {
    Status.OK: ":white_check_mark:",
    Status.WARN: ":warning:",
    Status.FAIL: ":x:",
    Status.UNKNOWN: ":grey_question:",
}
_CELL = 60
UNSEEN = dict.fromkeys(
    [*range(9), *range(11, 32), 0x7F, 0x200B, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
"""Control characters, save for tab and line feed, and marks that turn the direction of what follows."""


BY_CLOCK = "schedule:"
"""What a requester that is no person begins with; then comes the schedule's entry."""
BY_TERMINAL = "terminal:"
"""What somebody begins with who asked in a terminal; then comes the name that was given."""

BY_ALERT = "alert:"
"""What a requester begins with that is an alert; then comes its name."""


def is_person(requester: str) -> bool:
    """Whether it is somebody whom Slack knows."""
    return not requester.startswith((BY_CLOCK, BY_TERMINAL, BY_ALERT))


def whom(requester: str) -> str:
    """Who asked, as Slack shows it: a person, the clock, or an alert."""
    if requester.startswith(BY_ALERT):
        return f"the alert {code(requester.removeprefix(BY_ALERT))}"
    if requester.startswith(BY_CLOCK):
        return f"the schedule {code(requester.removeprefix(BY_CLOCK))}"
    if requester.startswith(BY_TERMINAL):
        return f"{code(requester.removeprefix(BY_TERMINAL))} in a terminal"
    return f"<@{requester}>"


def at(moment: float | None, shown: str = "{time}") -> str:
    """A time of day, which Slack shows in the reader's own (docs.slack.dev/messaging/formatting-message-text).

    moment: seconds since the epoch. shown: Slack's words for how, such as {date_short_pretty}.
    """
    whole = int(moment or 0)
    day = "%d %b " if "date" in shown or "ago" in shown else ""
    return f"<!date^{whole}^{shown}|{datetime.fromtimestamp(whole, UTC):{day}%H:%M} UTC>"


def called(ids: tuple[str, ...]) -> str:
    """A mention of each, which notifies them where it is posted, and not where it is edited in. ids: of Slack users and
    groups, from ops.yaml.
    """
    return " ".join(f"<!subteam^{each}>" if each.startswith("S") else f"<@{each}>" for each in ids)


def approved(by: tuple[str, ...], moment: float | None) -> str:
    """Who approved it and when; empty where nobody had to."""
    return f"approved by {' and '.join(f'<@{user}>' for user in by)} at {at(moment)}" if by else ""


@dataclass(frozen=True)
class Message:
    """What one call to Slack posts: `text` is what notifications and screen readers get.

    With a `filename` it is a file with that `content`, and `text` stands beside it; with `alt`, a picture in base64.
    in_sight: it stands in the channel.
    """

    text: str
    blocks: list[Block]
    filename: str = ""
    content: str = ""
    alt: str = ""
    in_sight: bool = False

    def calling(self, ids: tuple[str, ...]) -> Message:
        """The same message, that begins with who is called; itself where nobody is."""
        if not ids:
            return self
        line = section(f":rotating_light: On call: {called(ids)}")
        return replace(self, text=f"{called(ids)} {self.text}", blocks=[line, *self.blocks[: BLOCKS - 1]])

    def and_also(self, block: Block) -> Message:
        """The same message with a block at its end."""
        return replace(self, blocks=[*self.blocks[: BLOCKS - 1], block])


def escape(text: str) -> str:
    """Text from outside, harmless in mrkdwn (https://docs.slack.dev/messaging/formatting-message-text/#escaping)."""
    return text.translate(UNSEEN).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Text from outside as a code span on one line; a backtick in it becomes an apostrophe."""
    flat = " ".join(text.split()).replace("`", "'")
    return f"`{escape(flat)}`" if flat else ""


def plain(text: str) -> str:
    """Text from outside among formatted text: a mark that would open bold, italic, strike or code is defused.

    Marks inside a word (snake_case) format nothing and stay as they are, so that names can be copied.
    """
    return re.sub(r"(?<!\w)([*_~`]+)(?=\w)", "\\1\u2060", escape(text))


def short(text: str) -> str:
    """What notifications show, and Slack where it refuses the blocks: harmless there too."""
    return escape(" ".join(text.split())[:250])


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
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(foot)[:2000]}]})
    return Message(text=short(f"{report.title}: {report.summary}"), blocks=blocks)


def _read_at_once(report: Report, headline: str, words: str, requester: str, to_do: Sequence[Block]) -> Message:
    """A report whose lines stand in its message; a screen reader gets them all. Who asked is told of people only."""
    lines = [headline, *map(_lead, report.lead)]
    blocks = [*paragraphs("\n".join(lines))[: BLOCKS - len(to_do) - 1], *to_do]
    if not requester.startswith(BY_CLOCK):
        asked_by = f"{code('/mlflow ' + words)} asked by {whom(requester)}"
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": asked_by[:2000]}]})
    spoken = [f"{report.title}: {report.summary}", *map(_spoken, report.lead)]
    spoken += [f"To do: {offer.sentence}" for offer in report.offers]
    return Message(text=escape("\n".join(spoken))[:SECTION_TEXT], blocks=blocks)


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
    messages = [Message(told, group) for group in _messages([*blocks, *next_])]
    if len(messages) > DETAIL_MESSAGES:
        messages = [Message(told, next(_messages(blocks))), _as_file(report)]
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
            yield from _literal(_columns(shown))
        case Text(text=text, literal=True):
            yield from _literal(text.splitlines())
        case Text(text=text):
            yield from paragraphs(plain(text))


def link(name: str, url: str) -> str:
    """A place to go to."""
    label = escape(" ".join(name.split())).replace("|", "\u00a6")
    return f"<{escape(url).replace('|', '%7C')}|{label}>"


def _columns(table: Table) -> list[str]:
    """A table in fixed width: a row per line, numbers to the right, long cells cut with an ellipsis."""
    rows = [[_clip(cell) for cell in row] for row in (table.columns, *table.rows)]
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


def _literal(lines: Iterable[str]) -> Iterator[Block]:
    """Lines as code blocks; a block ends between two lines."""
    safe = (escape(line).replace("```", "'''") for line in lines)
    for text in _split(safe, SECTION_TEXT - 8):
        yield section(f"```\n{text}\n```")


def paragraphs(text: str) -> list[Block]:
    """As many sections as the text needs."""
    return [section(part) for part in _split(text.split("\n"), SECTION_TEXT) if part.strip()]


def _split(lines: Iterable[str], limit: int) -> Iterator[str]:
    """Lines joined to texts of at most `limit` characters; a longer line is cut through."""
    held: list[str] = []
    size = 0
    for line in lines:
        for start in range(0, max(len(line), 1), limit):
            part = line[start : start + limit]
            if held and size + len(part) + 1 > limit:
                yield "\n".join(held)
                held, size = [], 0
            held.append(part)
            size += len(part) + 1
    if held:
        yield "\n".join(held)


def _messages(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    held: list[Block] = []
    size = 0
    for block in blocks:
        length = len(block["text"]["text"])
        if held and (len(held) == BLOCKS or size + length > MESSAGE_TEXT):
            yield held
            held, size = [], 0
        held.append(block)
        size += length
    if held:
        yield held


def section(text: str) -> Block:
    """A section of mrkdwn, cut to Slack's limit."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:SECTION_TEXT]}}


_STYLE = {Status.OK: ("ok", "green"), Status.WARN: ("warn", "yellow"), Status.FAIL: ("FAIL", "bold red")}


def to_terminal(report: Report, console: Console, *, details: bool = False) -> None:
    """Print a report: the verdict, a line per check, and what is behind those that are not ok (or all of it)."""
    from rich.table import Table as Grid
    from rich.text import Text as Line

    grid = Grid.grid(padding=(0, 2))
    for check in report.checks:
        word, style = _STYLE.get(check.status, ("unknown", "dim"))
        grid.add_row(Line(word, style=style), Line(check.title, style="bold"), Line(check.figure), Line(check.sentence))
    word, style = _STYLE.get(report.status, ("unknown", "dim"))
    console.print(Line.assemble((report.title, "bold"), "  ", (word, style), "  ", report.summary))
    console.print(grid)
    for each in report.lead:
        by = f" ({', '.join(each.by)})" if each.by else ""
        console.print(Line.assemble((f"{each.name}: " if each.name else "", "bold"), each.text + by))
    for offer in report.offers:
        console.print(Line.assemble(f"{offer.sentence}  ", (offer.url or f"/mlflow {offer.command}", "cyan")))
    for check in report.checks:
        if details or check.status is not Status.OK:
            console.print(Line.assemble("\n", (check.title, "bold"), f": {check.sentence}"))
            _sections_to_terminal(check.details, console)
            if check.look_further:
                console.print(Line(f"  $ {check.look_further}", style="cyan"))
    _sections_to_terminal(report.sections, console)
    for name, words in (("undo", report.undo), *(("next", hint) for hint in report.hints)):
        if words:
            console.print(Line(f"  {name}: mlflow-ops run {shlex.quote(words)}", style="dim"))
    for file in report.attachments:
        rows = file.alt or f"{file.content.count(chr(10)):,} lines; --json has them"
        console.print(Line(f"  {file.filename}: {rows}", style="dim"))
    console.print(Line(f"\n{report.took_seconds:.1f} s", style="dim"))


def _sections_to_terminal(sections: Iterable[Section], console: Console) -> None:
    from rich.text import Text as Line

    for shown in sections:
        if shown.title:
            console.print(Line(f"  {shown.title}", style="italic"))
        if isinstance(shown, Table):
            _table_to_terminal(shown, console)
            continue
        lines = (
            shown.text.splitlines() if isinstance(shown, Text) else [f"{name}: {value}" for name, value in shown.items]
        )
        for line in lines:
            console.print(Line(f"  {line}"))


def _table_to_terminal(table: Table, console: Console) -> None:
    from rich.table import Table as Grid
    from rich.text import Text as Line

    grid = Grid(box=None, padding=(0, 2), header_style="dim")
    for column in table.columns:
        grid.add_column(column, justify="right" if column in table.numeric else "left")
    for row in table.rows:
        grid.add_row(*(Line(cell) for cell in row))
    console.print(grid)
