"""The commands as a document: every word of the grammar, what it does, and who may, from the grammar and the policy.

docs/commands.md is what this prints; a test compares the two. Who may is asked of the policy for each command's own
examples, under an ops.yaml that says nothing: what `approvals:` there asks for comes on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from commands import grammar, policy
from workers.operation import Operation
from workers.settings import Ops
from workers.wording import count

_HEAD: Final = """\
# Commands

Every command with its options, examples, and who may ask for it. What can go wrong with each, and how to undo it, is in
the site's runbook.

Made by `mlflow-ops config commands`; do not edit it by hand. Each is typed after `/mlflow` in Slack, and after
`mlflow-ops run` in a terminal.

Everything that changes something also takes `--dry-run` (show what it would do, and do nothing) and, for admins,
`--break-glass REASON` (at once, without approval; everybody is told). A role may do what those before it may: viewer,
operator, approver, admin. `approvals:` in ops.yaml may ask for more approvals than the table says, or for fewer.

Text that you write (WHAT, TEXT, OUTCOME, REASON, FILTER, a tag's value) is taken as typed, to the end of the line:
quotes, apostrophes, dashes and backslashes are part of it. Options stand before it or at the very end of the line; what
should not be read as an option stands after `--`. Quotes around all of it are left out. Elsewhere a name with a space
in it is put in quotes, and what stands inside is not changed. `?` or `help` anywhere shows how a command is used.
"""
_ON_EVERY_CHANGE: Final = {"dry_run", "break_glass"}


def markdown() -> str:
    """The whole document."""
    root = grammar.load()
    context = click.Context(root, info_name="/mlflow")
    chapters: dict[str, list[tuple[str, click.Command, click.Context]]] = {}
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        chapter = getattr(command, "chapter", "")
        chapters.setdefault(chapter, []).extend(leaves(command, context, name))
    ordered = [*grammar.CHAPTERS, *sorted(set(chapters) - set(grammar.CHAPTERS))]
    sections = [_chapter(chapter, chapters[chapter]) for chapter in ordered if chapter in chapters]
    return "\n".join([_HEAD, *sections]).rstrip() + "\n"


def leaves(
    command: click.Command, parent: click.Context, path: str
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """The commands below one that have none below them, each with all its words; or the command itself."""
    context = click.Context(command, info_name=path.rsplit(" ", 1)[-1], parent=parent)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            each = command.get_command(context, name)
            assert each is not None
            yield from leaves(each, context, f"{path} {name}")
    else:
        yield path, command, context


def _chapter(title: str, leaves: list[tuple[str, click.Command, click.Context]]) -> str:
    rows = [
        f"| `{_cell(_usage(path, command))}` | {_cell(what(command))} | {who(command)} |" for path, command, _ in leaves
    ]
    table = ["| Command | What it does | Who may |", "| --- | --- | --- |", *rows]
    return "\n".join(
        [f"## {title}\n", *table, "", *(line for path, command, _ in leaves for line in _details(path, command))]
    )


def _details(path: str, command: click.Command) -> Iterator[str]:
    """Its options and examples, where it has any."""
    options = [each for each in command.params if isinstance(each, click.Option) and each.name not in _ON_EVERY_CHANGE]
    examples = getattr(command, "examples", ())
    if not options and len(examples) < 2:  # noqa: PLR2004 - a single example is the command itself
        return
    yield f"### {path}\n"
    for each in options:
        takes = f" {each.make_metavar(click.Context(command))}" if not each.is_flag else ""
        default = f" Default: {each.default}." if each.show_default and each.default not in {None, ""} else ""
        yield f"- `{each.opts[0]}{takes}`: {each.help or ''}{default}"
    if options:
        yield ""
    if examples:
        yield "```text"
        yield from (f"/mlflow {example}" for example in examples)
        yield "```\n"


def _usage(path: str, command: click.Command) -> str:
    arguments = [
        each.make_metavar(click.Context(command)) for each in command.params if isinstance(each, click.Argument)
    ]
    return " ".join(["/mlflow", path, *arguments])


def what(command: click.Command) -> str:
    """What its help says, as one paragraph."""
    return " ".join((command.help or "").split())


def who(command: click.Command) -> str:
    """The role that may ask, and how many must approve."""
    ops = Ops()
    asked = [grammar.parse(example) for example in getattr(command, "examples", ())]
    operations = [each for each in asked if isinstance(each, Operation)]
    of_its_own = [each for each in operations if each.name != "dry-run"] or operations
    if not of_its_own:
        return "viewer"
    role = of_its_own[0].needs(ops) or policy.NEEDED[of_its_own[0].risk]
    approvals = {policy.approval(each, ops).approvers for each in of_its_own}
    if approvals == {0}:
        return role
    told = count(max(approvals), "approval")
    return f"{role}, with {told}" if 0 not in approvals else f"{role}; some with {told}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
