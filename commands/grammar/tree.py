"""All commands there are, found in the modules of `commands`, and the help that lists them.

Help, suggestions and the nearest word for a typing mistake come from what is found, so they cannot drift from what
exists. Packages that are installed beside ours add theirs (docs/extending.md); one that is broken adds nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

import click

import commands
from commands.grammar.installed import chapter_of, installed, outermost
from commands.grammar.making import WIDTH, Command, Group

if TYPE_CHECKING:
    from workers.registry import Extension

CHAPTERS: Final = (
    "Daily operations",
    "Common tasks",
    "Backup and recovery",
    "Scaling and performance",
    "Database optimization",
    "Maintenance windows",
    "Key metrics",
    "Useful commands",
    "Commands about commands",
)
"""The order in which help lists them: the runbook's. A module's first line, up to its colon, is its chapter."""

_OTHERS: Final = {"alert_commands", "grammar", "policy", "since", "testing"}
"""Modules of this package without a command: they need not be looked into."""

_WHOLE_SENTENCE: Final = 200


class Root(Group):
    """The group of all: its help lists them by the runbook's chapters, each in a whole sentence.

    extensions: the packages that add commands, the broken ones too.
    """

    extensions: tuple[Extension, ...] = ()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section a chapter, and where to begin."""
        known = [each for name in self.list_commands(ctx) if isinstance(each := self.get_command(ctx, name), Command)]
        others = sorted({each.chapter for each in known} - set(CHAPTERS))
        for chapter in (*CHAPTERS, *others):
            rows = [
                (str(each.name), each.get_short_help_str(limit=_WHOLE_SENTENCE))
                for each in known
                if each.chapter == chapter
            ]
            if rows:
                with formatter.section(chapter):
                    formatter.write_dl(rows)
        formatter.write_paragraph()
        formatter.write(f"Begin with {ctx.info_name} health. How to use one: {ctx.info_name} help COMMAND.\n")


@cache
def load() -> Root:
    """The root of the grammar, with every command that the modules of `commands`, and what is installed, define."""
    root = Root(
        "mlflow",
        help="Operate MLflow: type a command and, if it needs one, a name.",
        subcommand_metavar="COMMAND …",
        context_settings=WIDTH,
        options_metavar="",
    )
    found: list[Command] = []
    for module in sorted({each.name for each in pkgutil.iter_modules(commands.__path__)} - _OTHERS):
        imported = importlib.import_module(f"{commands.__name__}.{module}")
        members = [each for each in vars(imported).values() if isinstance(each, Command) and each.name]
        for member in members:
            member.chapter = chapter_of(imported.__doc__)
        found += members
    for member in outermost(found):
        root.add_command(member)
    added = installed(root.commands)
    for _, command in added:
        if command is not None:
            root.add_command(command)
    root.extensions = tuple(extension for extension, _ in added)
    return root


def suggestions() -> list[tuple[str, str]]:
    """What can be typed after /mlflow, with one line on each: for Slack's popup, the App Home and completion."""
    context = click.Context(load(), info_name="/mlflow")
    found = [(path, each.get_short_help_str(limit=90)) for path, each in _leaves(load(), context, "")]
    return [*found, ("help", "The commands, or with a command's name how to use it.")]


def _leaves(group: click.Group, context: click.Context, path: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        assert each is not None
        if isinstance(each, click.Group):
            yield from _leaves(each, context, f"{path}{name} ")
        else:
            yield path + name, each
