"""The manual page, from the same help that `--help` prints: what is said there is said here, and nowhere else.

roff with the man macros (man-pages(7), groff_man(7)). The traps: a line that begins with a period or an apostrophe is a
request, a backslash an escape, and a hyphen that is to be copied is one only after a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from commands import grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODES: Final = (
    ("0", "well, or a warning"),
    ("1", "the answer is bad: a check or an operation failed, or Redis does not answer"),
    ("2", "the words or the settings are wrong; nothing was done"),
    ("3", "nothing failed, but not everything could be asked"),
)
"""What a command that answers ends with; docs/cli.md has them too, and a test compares."""


def page(main: click.Group, version: str) -> str:
    """The page mlflow-ops(1). main: the program's commands."""
    context = click.Context(main, info_name="mlflow-ops")
    lines = [
        f'.TH MLFLOW\\-OPS 1 "" "mlflow\\-ops {escaped(version)}" "User Commands"',
        ".SH NAME",
        f"mlflow\\-ops \\- {escaped(_first(main))}",
        ".SH SYNOPSIS",
        ".B mlflow\\-ops",
        "[OPTIONS] COMMAND [ARGS]...",
        ".br",
        ".B mlflow\\-ops run",
        "[OPTIONS] WORDS...",
        ".SH DESCRIPTION",
        escaped(_help(main)),
        ".SH OPTIONS",
        *_options(main, context),
        ".SH COMMANDS",
    ]
    for path, command, inner in _programs(main, context):
        lines += [".SS " + escaped(path), escaped(_help(command)), *_options(command, inner)]
    lines += [".SH WORDS", escaped("What may follow mlflow-ops run, and /mlflow in Slack.")]
    for words, meaning in grammar.suggestions():
        lines += [".TP", f".B {escaped(words)}", escaped(meaning)]
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES:
        lines += [".TP", f".B {code}", escaped(meaning)]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text as roff prints it unchanged."""
    flat = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^(?=[.'])", "\\&", flat)


def _programs(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield inner.command_path.removeprefix("mlflow-ops "), command, inner
        if isinstance(command, click.Group):
            yield from _programs(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        told: Sequence[str] | None = parameter.get_help_record(context)
        if told and (context.parent is None or parameter.name != "help"):
            yield from (".TP", f".B {escaped(told[0])}", escaped(" ".join(told[1].split())))


def _help(command: click.Command) -> str:
    return " ".join((command.help or "").split())


def _first(command: click.Command) -> str:
    return command.get_short_help_str(200).rstrip(".")
