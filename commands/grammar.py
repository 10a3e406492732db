"""Text → a request: one grammar for Slack and for the terminal, on click.

A command is a click command made with `command(...)` below, in any module of this package, whose function returns an
Operation. It is found by `load`; help, suggestions and the nearest word for a typing mistake come from what is found,
so they cannot drift from what exists. Nothing here prints or exits: what click would print is returned or raised.

An operation, with the libraries that stand behind it, is imported by the function that makes one, when it makes one:
help and a typing mistake need click alone.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import click

import commands
from workers.redaction import UNSEEN
from workers.wording import nearest

if TYPE_CHECKING:
    from workers.operation import Operation

MAX_CHARACTERS = 3000
"""Longer than any command of ours; a pasted log or script is told so instead of being parsed."""

REASON_CHARACTERS = 10

CHAPTERS = (
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

_OTHERS = {"alert_commands", "grammar", "policy", "since"}
"""Modules of this package without a command: they need not be looked into."""

_WHOLE_SENTENCE = 200

_CONTEXT = {"terminal_width": 78}
"""Help must not depend on the window of whoever started the bot."""

_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00a0": " "})  # noqa: RUF001
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NO_NUMBER = re.compile(r"'(.*)' is not a valid (integer|float)(?: range)?", re.DOTALL)
"""click's words for them."""
_DASHES = re.compile("(?<!\\S)[\u2013\u2014](?=\\w)")
"""Phones turn two hyphens into a dash."""


@dataclass(frozen=True)
class Help:
    """An answer for the person who asked, not an operation: text in Slack's mrkdwn-free plain form."""

    text: str


@dataclass(frozen=True)
class BreakGlass:
    """A change that is to be done at once, without anybody's approval, and why."""

    operation: Operation
    reason: str


class UsageError(Exception):
    """The text is not a command; `str()` says what is wrong, `usage` what would be right."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class _Shown(Exception):  # noqa: N818 - control flow, never seen outside
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class _Command(click.Command):
    """A click command whose --help is raised instead of printed and which knows its examples."""

    examples: tuple[str, ...] = ()
    chapter: str = ""

    def get_help_option(self, ctx: click.Context) -> click.Option:  # noqa: ARG002 - click's
        def show(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
            if value and not context.resilient_parsing:
                raise _Shown(context.get_help())

        return click.Option(
            ["--help", "-h"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=show,
            help="Show this text.",
        )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            root = ctx.find_root().info_name
            with formatter.section("Examples"):
                formatter.write("".join(f"  {root} {example}\n" for example in self.examples))


class OneOf(click.Choice[str]):
    """A word out of a list; a typing mistake gets the nearest one instead of the whole list."""

    name = "word"

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's
        """What click says about a word that is not in the list."""
        known = [str(choice) for choice in self.choices]
        near = nearest(str(value).lower(), known, alike=0.5)
        right = f"Did you mean “{near}”?" if near else f"It must be one of {', '.join(known)}."
        return f"“{_short(str(value))}” is not known here. {right}"


class Whole(click.IntRange):
    """A whole number within limits, which a mistake names."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or a usage error that says what it may be."""
        limits = f"between {self.min} and {self.max:,}" if self.max is not None else f"{self.min} or more"
        if re.fullmatch(r"[+-]?\d{1,12}", str(value)) is None:
            self.fail(f"“{_short(str(value))}” is not a whole number; it must be one {limits}.", param, ctx)
        number = int(value)
        if number < (self.min or 0) or (self.max is not None and number > self.max):
            self.fail(f"{number:,} is not {limits}.", param, ctx)
        return number


class Duration(click.ParamType[float]):
    """A length of time such as 90s, 30m, 24h, 7d or 2w; in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds, or a usage error that says how it is written."""
        found = re.fullmatch(r"(\d{1,6})\s*([smhdw])", str(value).strip().lower())
        if found is None or int(found[1]) == 0:
            self.fail(f"“{_short(str(value))}” is not a length of time; write 90s, 30m, 24h, 7d or 2w.", param, ctx)
        return float(int(found[1]) * _SECONDS[found[2]])


class _Group(_Command, click.Group):
    """A group that answers an unknown word with the nearest one."""

    command_class = _Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if self.get_command(ctx, word) is None and not word.startswith("-"):
            near = nearest(word.lower(), self.list_commands(ctx), alike=0.5)
            if not near:
                message = f"There is no command “{_short(word)}”."
                raise UsageError(message, f"{ctx.command_path} help lists the commands.")
            known = self.get_command(ctx, near)
            assert known is not None
            with click.Context(known, info_name=near, parent=ctx) as inner:
                usage = known.get_usage(inner)
            raise UsageError(f"There is no command “{_short(word)}”. Did you mean “{near}”?", usage)
        return super().resolve_command(ctx, args)


class _Root(_Group):
    """The group of all: its help lists them by the runbook's chapters, each in a whole sentence."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section a chapter, and where to begin."""
        known = [each for name in self.list_commands(ctx) if isinstance(each := self.get_command(ctx, name), _Command)]
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


class _GroupThatActs(_Group):
    """A group that does something by its word alone, or with words that are no commands of its own.

    acts: the name of the command that does it. takes: the words that it knows.
    """

    acts: str = ""
    takes: tuple[str, ...] = ()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the acting command's name before what is for it."""
        first = args[0] if args else ""
        is_option = first.startswith("-") and first not in {"-h", "--help"}
        for_it = is_option or nearest(first.lower(), self.takes)
        if not first or (first not in self.commands and for_it):
            args = [self.acts, *args]
        return super().parse_args(ctx, args)


def group_that_acts(
    name: str, acts: click.Command, *members: click.Command, takes: tuple[str, ...], meaning: str
) -> click.Command:
    """Several commands under one word, which alone is a command too: `backup`, `backup list`.

    acts: the command that `name` alone is, under a word of its own as well; takes: words that may follow `name` for it.
    """
    made = _GroupThatActs(name, help=meaning, subcommand_metavar="[COMMAND] …", context_settings=_CONTEXT)
    made.no_args_is_help = False
    made.acts, made.takes = str(acts.name), takes
    for member in (acts, *members):
        made.add_command(member)
    return made


def command(
    name: str, *, examples: tuple[str, ...] = (), **attributes: Any
) -> Callable[[Callable[..., Operation | BreakGlass]], click.Command]:
    """Make a function that returns an Operation into a command; its docstring is the command's help.

    name: the word after /mlflow. examples: lines as they would be typed after /mlflow.
    """

    def make(function: Callable[..., Operation | BreakGlass]) -> click.Command:
        made = click.command(name, cls=_Command, context_settings=_CONTEXT, **attributes)(function)
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
            "--break-glass", metavar="REASON", help="For admins: at once, without approval; everybody is told."
        )
        return command(name, examples=examples, **attributes)(dry(urgent(planned)))

    return make


def group(name: str, *members: click.Command, meaning: str) -> click.Command:
    """Several commands under one word (`config show`, `config set`); the word alone shows what there is."""
    made = _Group(name, help=meaning, subcommand_metavar="COMMAND …", context_settings=_CONTEXT, no_args_is_help=False)
    made.invoke_without_command = True

    def shown() -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            raise _Shown(context.get_help())

    made.callback = shown
    for member in members:
        made.add_command(member)
    return made


def parse(text: str, program: str = "/mlflow") -> Operation | BreakGlass | Help:
    """The operation that `text` asks for (without approval, where it says so), or the help that it asks for.

    text: what was typed after the program's name. Raises UsageError with one sentence and the right usage.
    """
    if len(text) > MAX_CHARACTERS:
        message = f"That command is {len(text):,} characters long; the limit is {MAX_CHARACTERS:,}."
        raise UsageError(message, f"{program} help lists the commands.")
    try:
        words = shlex.split(_DASHES.sub("--", text.translate(_QUOTES | UNSEEN)))
    except ValueError:
        message = "A quote is opened and not closed: put a second one at the end of the quoted words."
        raise UsageError(message, f'For example: {program} COMMAND "two words"') from None
    if not words:
        words = ["help"]
    if words[0] == "help":
        words = [*words[1:], "--help"]
    try:
        with load().make_context(program, words) as context:
            operation: Operation | BreakGlass = context.command.invoke(context)
    except _Shown as shown:
        return Help(shown.text)
    except click.UsageError as error:
        usage = error.ctx.get_usage() if error.ctx else f"{program} help"
        raise UsageError(_sentence(error), usage) from None
    except ValueError as error:
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            raise
        first = error.errors(include_url=False, include_context=False)[0]
        field = " ".join(str(part) for part in first["loc"]).replace("_", " ")
        problem = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{field}: {problem[0].lower()}{problem[1:]}.", f"{program} help {words[0]}") from None
    return operation


@cache
def load() -> click.Group:
    """The root of the grammar, with every command that the modules of this package define."""
    root = _Root(
        "mlflow",
        help="Operate MLflow: type a command and, where it needs one, a name.",
        subcommand_metavar="COMMAND …",
        context_settings=_CONTEXT,
        no_args_is_help=False,
        options_metavar="",
    )
    found: list[_Command] = []
    for module in sorted({each.name for each in pkgutil.iter_modules(commands.__path__)} - _OTHERS):
        imported = importlib.import_module(f"{commands.__name__}.{module}")
        members = [each for each in vars(imported).values() if isinstance(each, _Command) and each.name]
        for member in members:
            member.chapter = (imported.__doc__ or "").split("\n", 1)[0].split(":", 1)[0].rstrip(".")
        found += members
    under_a_word = {
        id(each) for member in found if isinstance(member, click.Group) for each in member.commands.values()
    }
    for member in found:
        if id(member) not in under_a_word:
            root.add_command(member)
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


def _sentence(error: click.UsageError) -> str:
    message = error.format_message().strip()
    if isinstance(error, click.NoSuchOption) and re.fullmatch(r"-\d", error.option_name):
        return "A number below 0 means nothing here: write one without the minus."
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter) and error.param:
        message = _NO_NUMBER.sub(_no_number, error.message)
        if isinstance(error.param, click.Option):
            message = f"{error.param.opts[0]}: {message}"
    return message if message.endswith((".", "?", "!")) else f"{message}."


def _no_number(found: re.Match[str]) -> str:
    return f"“{_short(found[1])}” is not a {'whole number' if found[2] == 'integer' else 'number'}"


def _short(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:39]}…"  # noqa: PLR2004 - as much as a sentence bears
