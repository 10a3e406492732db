"""Commands that packages beside ours add (docs/extending.md): found, judged, and left out with a sentence if broken.

A package's commands are all under one word, its entry point's name, so no two can be in each other's way. The registry
has judged its operations before; without an entry point nothing but click is needed to find that there is none.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from commands.grammar.making import Command

if TYPE_CHECKING:
    from workers.registry import Extension

_GROUP: Final = "mlflow_ops.commands"
_NONE: Final = "python{}{}.zip"
"""The standard library's, where that is one."""


def installed(ours: Collection[str]) -> list[tuple[Extension, Command | None]]:
    """Every package that adds commands, with its command; None if it has a problem. ours: the words that are taken."""
    if not any(map(_names_some, map(Path, sys.path))):
        return []
    from workers import registry

    return [_judged(each, ours) for each in registry.extensions()]


def _names_some(place: Path) -> bool:
    """Whether a package in this folder may add commands. Read as text: to import importlib.metadata takes a third of a
    command's start. What is no folder, such as a zip file, may have anything.
    """
    if not place.is_dir():
        return place.is_file() and place.name != _NONE.format(*sys.version_info)
    return any(_GROUP in file.read_text(encoding="utf-8") for file in place.glob("*-info/entry_points.txt"))


def _judged(extension: Extension, ours: Collection[str]) -> tuple[Extension, Command | None]:
    if extension.problem:
        return extension, None
    if extension.word in ours:
        return replace(extension, problem=f"{extension.word} is one of the product's own commands."), None
    from workers.registry import members

    there, problem = members(extension.package, "commands")
    found = outermost([each for each in there if isinstance(each, Command) and each.name])
    named = [each for each in found if each.name == extension.word]
    others = sorted({str(each.name) for each in found} - {extension.word})
    if not problem and not named:
        problem = f"{extension.package}.commands has no command {extension.word}, made with `command` or `group`."
    elif not problem and others:
        problem = f"{others[0]} must be under the word {extension.word}: group({extension.word!r}, …)."
    elif not problem and not all(each.help for each in named):
        problem = f"{extension.word} has no docstring, which is its help."
    if problem:
        return replace(extension, problem=problem), None
    named[0].chapter = _chapter(extension)
    return extension, named[0]


def _chapter(extension: Extension) -> str:
    import importlib

    return chapter_of(importlib.import_module(f"{extension.package}.commands").__doc__) or extension.source


def chapter_of(docstring: str | None) -> str:
    """The chapter of a module's commands: its docstring's first line, up to the colon."""
    return (docstring or "").split("\n", 1)[0].split(":", 1)[0].rstrip(".")


def outermost(found: Iterable[Command]) -> list[Command]:
    """Those that are under no other's word, each once."""
    every = list({id(each): each for each in found}.values())
    under_a_word = {id(each) for one in every if isinstance(one, click.Group) for each in one.commands.values()}
    return [each for each in every if id(each) not in under_a_word]
