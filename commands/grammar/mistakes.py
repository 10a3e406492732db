"""What is wrong with a line, in one sentence, and the line that was meant where one is likely.

A mistake is mended by exchanging one place of the line. A mended line is offered only if it is read without another
mistake, or with ones that can be mended as well; what it does is not looked at, so nothing behind a command is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from commands.grammar import words
from commands.grammar.arranging import OpenQuoteError
from commands.grammar.kinds import NotKnownError, short
from workers.wording import nearest

if TYPE_CHECKING:
    from commands.grammar.words import Word

Swap = tuple[int, int, str]
"""From where to where a line is exchanged, and for what."""

TRIES: Final = 4
_LONGEST: Final = 300
"""A longer line is not offered: nobody would see what is different."""
_NO_NUMBER: Final = re.compile(r"'(.*)' is not a valid (integer|float)(?: range)?", re.DOTALL)
"""click's words for them."""


class UsageError(Exception):
    """The text is not a command; `str()` says what is wrong and what was meant, `usage` what would be right.

    message: what is wrong. line: the whole line that was meant, ready to be copied; empty where none is likely.
    """

    def __init__(self, message: str, usage: str, line: str = "") -> None:
        super().__init__(f"{message} Did you mean “{line}”?" if line else message)
        self.message, self.usage, self.line = message, usage, line


class Mistake(Exception):  # noqa: N818 - becomes a UsageError, once its line was tried
    """What is wrong. near: the word that was meant; swap: how the line is mended."""

    def __init__(self, message: str, usage: str, near: str = "", swap: Swap | None = None) -> None:
        super().__init__(message)
        self.message, self.usage, self.near, self.swap = message, usage, near, swap


def told(mistake: Mistake, line: str, program: str, read: Callable[[str], object]) -> UsageError:
    """What to say. read: reads a line without doing anything, and raises Mistake."""
    mended = likely(mistake, line, read)
    if mended:
        bare = re.sub(rf"^({re.escape(program)}\s+)+", "", mended, flags=re.IGNORECASE)
        return UsageError(mistake.message, mistake.usage, f"{program} {bare}")
    near = f" Did you mean “{mistake.near}”?" if mistake.near else ""
    return UsageError(f"{mistake.message}{near}", mistake.usage)


def likely(mistake: Mistake, line: str, read: Callable[[str], object]) -> str:
    """The line that was meant; empty where none is likely."""
    for _ in range(TRIES):
        if mistake.swap is None:
            return ""
        begin, end, right = mistake.swap
        line = f"{line[:begin]}{right}{line[end:]}"
        try:
            read(line)
        except Mistake as another:
            mistake = another
        else:
            return line if len(line) <= _LONGEST else ""
    return ""


def of_click(error: click.UsageError, line: str, found: Sequence[Word], usage: str) -> Mistake:
    """What click says against a command's words, as a mistake."""
    match error:
        case click.NoSuchOption():
            return _no_option(error, line, found, usage)
        case NotKnownError():
            spot = next((each for each in found if words.plain(each.text) == words.plain(error.word)), None)
            place = next((each for each in found if error.word in words.separated(words.plain(each.text))), spot)
            swap = _inside(line, place, error.word, error.near) if place and error.near else None
            return Mistake(_sentence(error), usage, error.near, swap)
        case click.MissingParameter() if isinstance(error.param, click.Option):
            return Mistake(_sentence(error), usage, swap=_left_over(error, found))
    return Mistake(_sentence(error), usage, swap=_option_without_dashes(error, found))


def unclosed(error: OpenQuoteError, line: str, usage: str) -> Mistake:
    """A quote that nothing closes."""
    return Mistake(str(error), usage, swap=(len(line), len(line), error.closing))


def _no_option(error: click.NoSuchOption, line: str, found: Sequence[Word], usage: str) -> Mistake:
    name = error.option_name
    if re.fullmatch(r"-\d.*", name):
        return Mistake("A number below 0 means nothing here: write one without the minus.", usage)
    near = nearest(name.lower(), error.possibilities or (), alike=0.5)
    spot = next((each for each in found if each.option == name.lower()), None)
    swap = None
    if near and spot:
        equals = line.find("=", spot.start, spot.end)
        swap = (spot.start, spot.end if equals < 0 else equals, near)
    return Mistake(f"There is no option {short(name)} here.", usage, near, swap)


def _inside(line: str, place: Word, wrong: str, right: str) -> Swap:
    """Exchange a word, or the part of it that is wrong (pods,postgers)."""
    typed = line[place.start : place.end]
    at = typed.casefold().find(wrong)
    if at < 0:
        return place.start, place.end, right
    return place.start + at, place.start + at + len(wrong), right


def _left_over(error: click.MissingParameter, found: Sequence[Word]) -> Swap | None:
    """An option without its dashes, `runs archive older-than 90d`; or left out before its value, `runs archive 90d`,
    which is then the one word that the command has no place for.
    """
    assert error.param is not None
    assert error.ctx is not None
    name = error.param.opts[0]
    bare = [each for each in found if not each.option]
    named = next((each for each in bare if f"--{words.plain(each.text)}" == name), None)
    if named is not None:
        return named.start, named.end, name
    if any(isinstance(each, click.Argument) for each in error.ctx.command.params) or len(bare) != 1:
        return None
    return bare[0].start, bare[0].start, f"{name} "


def _option_without_dashes(error: click.UsageError, found: Sequence[Word]) -> Swap | None:
    """An option whose dashes were left out: `backup list limit 5`."""
    if error.ctx is None or isinstance(error, click.BadParameter):
        return None
    names = {name for each in error.ctx.command.params if isinstance(each, click.Option) for name in each.opts}
    spot = next((each for each in found if f"--{words.plain(each.text)}" in names), None)
    return (spot.start, spot.end, f"--{words.plain(spot.text)}") if spot else None


def _sentence(error: click.UsageError) -> str:
    message = error.format_message().strip()
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter) and error.param:
        message = _NO_NUMBER.sub(_no_number, error.message)
        if isinstance(error.param, click.Option):
            message = f"{error.param.opts[0]}: {message}"
    return message if message.endswith((".", "?", "!")) else f"{message}."


def _no_number(found: re.Match[str]) -> str:
    return f"“{short(found[1])}” is not a {'whole number' if found[2] == 'integer' else 'number'}"
