"""The runbook by chapter, as pages of the site: each command with examples, what can go wrong, and how to undo it.

What it does, the examples and who may are the grammar's and the policy's own (bot/process/commands_reference.py); the
rest stands in handbook.yaml beside this file. MkDocs calls what is named `on_…`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import yaml
from mkdocs.structure.files import File, Files

from bot.process import commands_reference
from commands import grammar

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

SAID: Final[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("handbook.yaml").read_text())
ONLY_READS: Final = "Nothing to undo. It only reads."
BEFORE: Final = "runbook.md"
"""The page of the navigation that the chapters follow."""


def chapters() -> dict[str, list[tuple[str, click.Command]]]:
    """The commands of each chapter with their words, in the order of the grammar."""
    root = grammar.load()
    context = click.Context(root, info_name="/mlflow")
    found: dict[str, list[tuple[str, click.Command]]] = {title: [] for title in grammar.CHAPTERS}
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        leaves = commands_reference.leaves(command, context, name)
        found.setdefault(getattr(command, "chapter", ""), []).extend((path, each) for path, each, _ in leaves)
    return {title: commands for title, commands in found.items() if commands}


def file_of(title: str) -> str:
    """The page of a chapter."""
    return f"runbook/{title.lower().replace(' ', '-')}.md"


def page(title: str) -> str:
    """A chapter as Markdown."""
    said = SAID["chapters"][title]
    parts = [f"# {title}", said["first"]]
    parts += [f"![{alt}](../pictures/{name}-light.png)" for name, alt in said.get("pictures", {}).items()]
    for path, command in chapters()[title]:
        own = SAID["commands"][path]
        examples = "\n".join(f"/mlflow {each}" for each in getattr(command, "examples", ()) or (path,))
        parts += [
            f"## {path}",
            f"{commands_reference.what(command)} Who may: {commands_reference.who(command)}.",
            f"```text\n{examples}\n```",
            f"**What can go wrong.** {own['wrong']}",
            f"**How to undo it.** {own.get('undo', ONLY_READS)}",
        ]
    parts.append("Options and the whole usage: commands.md.")
    return "\n\n".join(parts) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each chapter."""
    for title in chapters():
        files.append(File.generated(config, file_of(title), content=page(title)))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the chapters into the navigation, below the runbook's procedures."""
    own = {"The runbook by chapter": [{title: file_of(title)} for title in chapters()]}
    for section in config.nav or ():
        for pages in section.values() if isinstance(section, dict) else ():
            if isinstance(pages, list):
                places = [index for index, each in enumerate(pages) if BEFORE in each.values()]
                for index in places:
                    pages.insert(index + 1, own)
    return config
