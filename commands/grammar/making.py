"""How a command is made: `command`, `change`, `group` and `group_that_acts`, each a click command that knows its help.

Nothing here prints or exits: what click would print is returned or raised by `commands.grammar.reading`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from commands.grammar.kinds import FreePairs, FreeText
from workers.wording import nearest

if TYPE_CHECKING:
    from workers.operation import Operation

REASON_CHARACTERS: Final = 10

WIDTH: Final = {"terminal_width": 78}
"""Help must not depend on the window of whoever started the bot."""


@dataclass(frozen=True)
class BreakGlass:
    """A change that is to be done at once, without approval, and why."""

    operation: Operation
    reason: str


class Command(click.Command):
    """A click command that knows its examples, and how the free text that it takes is told from its options."""

    examples: tuple[str, ...] = ()
    chapter: str = ""

    @property
    def arguments(self) -> list[click.Argument]:
        """Its arguments, in their order."""
        return [each for each in self.params if isinstance(each, click.Argument)]

    @property
    def free(self) -> click.Argument | None:
        """The argument that takes text as it was typed: the last one, if that does."""
        last = self.arguments[-1:]
        return last[0] if last and isinstance(last[0].type, FreeText | FreePairs) else None

    def free_words(self) -> str:
        """What help says of the text that it takes; empty where it takes none."""
        context = click.Context(self)
        of_options = [each.opts[0] for each in self.params if is_free(each) and isinstance(each, click.Option)]
        names = [self.free.make_metavar(context)] if self.free is not None else []
        if not names and not of_options:
            return ""
        both = " and ".join(name.strip("[]") for name in names + of_options)
        verb = "is" if len(names + of_options) == 1 else "are"
        return (
            f"{both} {verb} taken as typed, to the end of the line: quotes, apostrophes, dashes and backslashes "
            "are part of the text. Options stand before it or at the very end; quotes around all of it end it too."
        )

    def get_help_option(self, ctx: click.Context) -> click.Option:  # noqa: ARG002 - click's
        """As help shows it; who asks for it is answered before click reads the line."""
        return click.Option(["--help", "-h"], is_flag=True, expose_value=False, help="Show this text.")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what it says of free text, and the examples."""
        said = self.free_words()
        if said:
            formatter.write_paragraph()
            formatter.write_text(said)
        if self.examples:
            root = ctx.find_root().info_name
            with formatter.section("Examples"):
                formatter.write("".join(f"  {root} {example}\n" for example in self.examples))


class Group(Command, click.Group):
    """Several commands under one word."""

    command_class = Command


class GroupThatActs(Group):
    """A group that does something by its word alone, or with words that are no commands of its own.

    acts: the name of the command that does it. takes: the words that it knows.
    """

    acts: str = ""
    takes: tuple[str, ...] = ()

    def acts_on(self, word: str) -> bool:
        """Whether a word that may follow is for the command that acts. word: in lower case; "" for none."""
        return not word or word.startswith("-") or bool(nearest(word, self.takes))


def is_free(parameter: click.Parameter) -> bool:
    """Whether it takes text as it was typed."""
    return isinstance(parameter.type, FreeText | FreePairs)


def command(
    name: str, *, examples: tuple[str, ...] = (), **attributes: Any
) -> Callable[[Callable[..., Operation | BreakGlass]], click.Command]:
    """Make a function that returns an Operation into a command; its docstring is the command's help.

    name: the word after /mlflow. examples: lines as they would be typed after /mlflow.
    """

    def make(function: Callable[..., Operation | BreakGlass]) -> click.Command:
        made = click.command(name, cls=Command, context_settings=WIDTH, **attributes)(function)
        made.examples = examples
        return made

    return make


def change(
    name: str, *, examples: tuple[str, ...] = (), **attributes: Any
) -> Callable[[Callable[..., Operation]], click.Command]:
    """As `command`, for what changes something: it can be asked for its plan only, or be done without approval."""

    def make(function: Callable[..., Operation]) -> click.Command:
        @functools.wraps(function)
        def planned(*arguments: Any, dry_run: bool, break_glass: str | None, **named: Any) -> Operation | BreakGlass:
            operation = function(*arguments, **named)
            if dry_run:
                from workers.operations.commands.dry_run import DryRun

                return DryRun(of=operation.name, arguments=operation.model_dump(mode="json"))
            if break_glass is None:
                return operation
            if len(break_glass.strip()) < REASON_CHARACTERS:
                raise click.BadParameter(
                    f"say why in {REASON_CHARACTERS} letters or more; everybody will read it.",
                    param_hint="--break-glass",
                )
            return BreakGlass(operation, break_glass.strip())

        dry = click.option("--dry-run", is_flag=True, help="Show what it would do, and do nothing.")
        urgent = click.option(
            "--break-glass",
            type=FreeText(),
            metavar="REASON",
            help="For admins: at once, without approval; everybody is told.",
        )
        return command(name, examples=examples, **attributes)(dry(urgent(planned)))

    return make


def group(name: str, *members: click.Command, meaning: str) -> click.Command:
    """Several commands under one word (`config show`, `config set`); the word alone shows what there is."""
    made = Group(name, help=meaning, subcommand_metavar="COMMAND …", context_settings=WIDTH)
    for member in members:
        made.add_command(member)
    return made


def group_that_acts(
    name: str, acts: click.Command, *members: click.Command, takes: tuple[str, ...], meaning: str
) -> click.Command:
    """Several commands under one word, which alone is a command too: `backup`, `backup list`.

    acts: the command that `name` alone is, under a word of its own as well; takes: words that may follow `name` for it.
    """
    made = GroupThatActs(name, help=meaning, subcommand_metavar="[COMMAND] …", context_settings=WIDTH)
    made.acts, made.takes = str(acts.name), takes
    for member in (acts, *members):
        made.add_command(member)
    return made
