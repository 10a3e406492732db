"""Text → a request. The words lead down the tree to a command; click reads what is left of them for it.

An operation, with the libraries that stand behind it, is imported by the command's function when it makes one: help, a
typing mistake and the line that was meant need click alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from commands.grammar import mistakes, words
from commands.grammar.arranging import HelpAsked, OpenQuoteError, arranged, for_help
from commands.grammar.kinds import short
from commands.grammar.making import WIDTH, BreakGlass, Command, GroupThatActs
from commands.grammar.mistakes import Mistake, UsageError
from commands.grammar.tree import load
from commands.grammar.words import Word
from workers.wording import nearest

if TYPE_CHECKING:
    from workers.operation import Operation

MAX_CHARACTERS: Final = 3000
"""Longer than any command of ours; a pasted log or script is told so instead of being parsed."""

PROGRAM: Final = "/mlflow"


@dataclass(frozen=True)
class Help:
    """An answer for the person who asked, not an operation: text in Slack's mrkdwn-free plain form."""

    text: str


@dataclass(frozen=True)
class _Asked:
    """A command, the words that are left for it, and those that led to it. context: with its groups above it."""

    context: click.Context
    left: Sequence[Word]
    path: Sequence[tuple[Word, str]]
    help: bool


def parse(text: str, program: str = PROGRAM) -> Operation | BreakGlass | Help:
    """The operation that `text` asks for (without approval, where it says so), or the help that it asks for.

    text: what was typed after the program's name. Raises UsageError with one sentence, the right usage, and the line
    that was meant where one is likely.
    """
    if len(text) > MAX_CHARACTERS:
        message = f"That command is {len(text):,} characters long; the limit is {MAX_CHARACTERS:,}."
        raise UsageError(message, f"{program} help lists the commands.")
    line = words.clean(text)
    try:
        context = _read(line, program)
        return context if isinstance(context, Help) else _made(context, line)
    except Mistake as mistake:
        raise mistakes.told(mistake, line, program, lambda tried: _read(tried, program)) from None


def recorded(text: str) -> str:
    """A command as it is recorded and shown: without /mlflow before it and marks around it, its own words in lower
    case; the rest as it was typed.
    """
    line = words.clean(text)
    try:
        asked = _asked(line, PROGRAM)
    except Mistake:
        return line
    if asked.help:
        return line
    end = asked.path[-1][0].end if asked.path else 0
    begin = asked.left[0].start if asked.left else len(line)
    return " ".join([*(name for _, name in asked.path), line[max(begin, end) :]]).strip()


def _read(line: str, program: str) -> click.Context | Help:
    """The command with its arguments, read and not made. Raises Mistake."""
    asked = _asked(line, program)
    command = asked.context.command
    if asked.help or not isinstance(command, Command) or isinstance(command, click.Group):
        return Help(asked.context.get_help())
    try:
        given = arranged(command, line, asked.left)
        return command.make_context(str(command.name), given, parent=asked.context.parent)
    except HelpAsked:
        return Help(asked.context.get_help())
    except OpenQuoteError as error:
        raise mistakes.unclosed(error, line, asked.context.get_usage()) from None
    except click.UsageError as error:
        raise mistakes.of_click(error, line, asked.left, asked.context.get_usage()) from None


def _made(context: click.Context, line: str) -> Operation | BreakGlass:
    try:
        with context:
            operation: Operation | BreakGlass = context.command.invoke(context)
    except click.UsageError as error:
        raise mistakes.of_click(error, line, (), context.get_usage()) from None
    except ValueError as error:
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            raise
        first = error.errors(include_url=False, include_context=False)[0]
        field = " ".join(str(part) for part in first["loc"]).replace("_", " ")
        problem = first["msg"].removeprefix("Value error, ")
        raise Mistake(f"{field}: {problem[0].lower()}{problem[1:]}.", context.get_usage()) from None
    return operation


def _asked(line: str, program: str) -> _Asked:
    """The command that the words lead to. Raises Mistake where one leads nowhere."""
    left = words.split(line)
    while left and words.plain(left[0].text) in {PROGRAM, program}:
        left.pop(0)
    root = load()
    context = click.Context(root, info_name=program, terminal_width=WIDTH["terminal_width"])
    path: list[tuple[Word, str]] = []
    wants_help = not left
    while isinstance(group := context.command, click.Group):
        while left and for_help(left[0]):
            wants_help = True
            left.pop(0)
        word = left[0] if left else None
        said = words.plain(word.text) if word else ""
        found = group.commands.get(said)
        if found is not None and word is not None:
            path.append((left.pop(0), said))
            wants_help = wants_help or (words.asks(word.text) and not word.quoted)
        elif isinstance(group, GroupThatActs) and not (wants_help and word is None) and group.acts_on(said):
            found = group.commands[group.acts]
        elif word is None:
            break
        else:
            raise _unknown(group, context, word)
        context = click.Context(found, info_name=found.name, parent=context)
    return _Asked(context, left, path, wants_help)


def _unknown(group: click.Group, context: click.Context, word: Word) -> Mistake:
    said = f"There is no command “{short(word.text)}”."
    near = nearest(words.plain(word.text), group.commands, alike=0.5)
    if not near:
        return Mistake(said, f"{context.command_path} help lists the commands.")
    usage = click.Context(group.commands[near], info_name=near, parent=context).get_usage()
    return Mistake(said, usage, near, (word.start, word.end, near))
