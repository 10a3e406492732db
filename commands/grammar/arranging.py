"""A command's words, as click is to read them: options first, then what is no option, free text in one piece.

Which words are free text is decided here and nowhere else. It begins where its argument is due, or after its option,
and goes to the end of the line; options that stand there, all of them known and complete, are options still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import click

from commands.grammar import words
from commands.grammar.kinds import FreePairs
from commands.grammar.making import Command, is_free
from commands.grammar.words import Word
from workers.wording import nearest

_HELP: Final = {"--help", "-h"}


class OpenQuoteError(Exception):
    """A quote is opened and not closed. closing: what would close it."""

    def __init__(self, closing: str) -> None:
        super().__init__("A quote is opened and not closed: put a second one at the end of the quoted words.")
        self.closing = closing


class HelpAsked(Exception):  # noqa: N818 - what was asked for, not an error
    """A word asks for help."""


def for_help(word: Word) -> bool:
    """Whether a word asks for help: `help`, `?`, --help, -h, not in quotes."""
    if word.quoted:
        return False
    return words.plain(word.text) == "help" or set(word.text) == {"?"} or word.option in _HELP


def arranged(command: Command, line: str, found: Sequence[Word]) -> list[str]:
    """The words as click is to read them. Raises HelpAsked; OpenQuoteError; click.NoSuchOption."""
    arranging = _Arranging(command, line, found)
    arranging.run()
    return [*arranging.options, "--", *arranging.others]


@dataclass
class _Arranging:
    command: Command
    line: str
    found: Sequence[Word]
    options: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    ended: bool = False

    def __post_init__(self) -> None:
        self.known = {
            name: each for each in self.command.params if isinstance(each, click.Option) for name in each.opts
        }

    def run(self) -> None:
        at = 0
        while at < len(self.found):
            word = self.found[at]
            if word.text == "--" and not (self.ended or word.quoted):
                self.ended, at = True, at + 1
            elif self.ended or not word.option:
                at = self._other(at)
            elif word.option in self.known:
                at = self._option(at)
            elif self._begins_text() and not self._meant(word):
                at = self._other(at)
            elif word.option in _HELP:
                raise HelpAsked
            elif self._meant(word):
                raise click.NoSuchOption(word.text.partition("=")[0], possibilities=[self._meant(word)])
            else:
                raise click.NoSuchOption(word.text.partition("=")[0])

    def _begins_text(self) -> bool:
        arguments = self.command.arguments
        return self.command.free is not None and len(self.others) >= len(arguments) - 1

    def _meant(self, word: Word) -> str:
        return word.option if word.option in _HELP else nearest(word.option, self.known)

    def _other(self, at: int) -> int:
        """Take what is no option."""
        word = self.found[at]
        if self._begins_text():
            free = self.command.free
            assert free is not None
            upto = self._upto(at)
            if upto - at == 1 and for_help(word) and not self.ended:
                raise HelpAsked
            self.others.append(self._text(at, upto, free))
            return upto
        if for_help(word) and not self.ended:
            raise HelpAsked
        arguments = self.command.arguments
        argument = arguments[min(len(self.others), len(arguments) - 1)] if arguments else None
        given = _given(word, argument)
        several = argument is not None and argument.nargs == -1 and not word.quoted and "=" not in given
        self.others += words.separated(given) if several else [given]
        return at + 1

    def _option(self, at: int) -> int:
        """Take an option, with its value."""
        word = self.found[at]
        option = self.known[word.option]
        _, equals, _ = word.text.partition("=")
        if is_free(option):
            return self._free_option(at, option)
        if not (equals or option.is_flag) and not self._has_value(at):
            raise click.BadOptionUsage(word.option, f"{word.option} needs a value after it.")
        if equals or option.is_flag:
            given = _given(word, option)
            self.options.append(f"{word.option}={given.partition('=')[2]}" if equals else word.option)
            return at + 1
        self.options += [word.option, _given(self.found[at + 1], option)]
        return at + 2

    def _free_option(self, at: int, option: click.Option) -> int:
        word = self.found[at]
        if "=" in word.text:
            after = word.start + self.line[word.start : word.end].index("=") + 1
            if after == word.end:
                self.options.append(f"{word.option}=")
                return at + 1
            upto = self._upto(at + 1)
            alone = upto == at + 1 and any(each in self.line[after : word.end] for each in words.QUOTES)
            text = word.text.partition("=")[2] if alone else self.line[after : self.found[upto - 1].end]
            self.options += [word.option, text]
            return upto
        due = sum(1 for each in self.command.arguments if each.required) > len(self.others)
        begins = at + 1
        upto = begins + 1 if begins < len(self.found) and self.found[begins].whole and due else self._upto(begins)
        if upto == begins:
            raise click.BadOptionUsage(word.option, f"{word.option} needs a text after it.")
        self.options += [word.option, self._text(begins, upto, option)]
        return upto

    def _has_value(self, at: int) -> bool:
        return at + 1 < len(self.found) and self.found[at + 1].option not in self.known

    def _text(self, at: int, upto: int, parameter: click.Parameter) -> str:
        first = self.found[at]
        if upto - at == 1 and first.whole and not isinstance(parameter.type, FreePairs):
            return first.text
        return self.line[first.start : self.found[upto - 1].end]

    def _upto(self, at: int) -> int:
        """Where text that begins here ends: before the options at the end of the line."""
        if self.ended:
            return len(self.found)
        return next((place for place in range(at, len(self.found)) if self._only_options(place)), len(self.found))

    def _only_options(self, at: int) -> bool:
        while at < len(self.found):
            word = self.found[at]
            if word.option in _HELP:
                at += 1
                continue
            option = self.known.get(word.option) if word.option else None
            if option is None:
                return False
            if is_free(option):
                return "=" in word.text or at + 1 < len(self.found)
            takes = not (option.is_flag or "=" in word.text)
            if takes and not self._has_value(at):
                return False
            at += 1 + takes
        return True


def _given(word: Word, parameter: click.Parameter | None) -> str:
    """A word as it is looked up among known ones, or, where it is a name, as it was typed."""
    if word.unclosed:
        raise OpenQuoteError(word.unclosed)
    known = parameter is not None and not isinstance(parameter.type, click.types.StringParamType)
    return words.plain(word.text) if known and not word.quoted and "=" not in word.text else word.text
