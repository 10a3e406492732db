"""The test kit for commands of your own: it holds them to the contracts of ours (docs/extending.md).

Nothing here needs pytest: what is wrong comes back as sentences, or is raised as AssertionError.
"""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from commands import grammar
from commands.grammar.making import BreakGlass, Command
from workers import registry
from workers.errors import OperatorError
from workers.operation import Operation, Plan, Risk, Unwatched
from workers.report import Report

if TYPE_CHECKING:
    from workers.registry import Extension
    from workers.systems import Systems

_SLACK: Final = ("slack_sdk", "slack_bolt", "bot")


def broken(word: str) -> list[str]:
    """Every contract that the installed commands under a word do not keep, a sentence each; none if all is well."""
    found = {each.word: each for each in grammar.load().extensions}
    if word not in found:
        return [f"No installed package has an entry point {word} of the group mlflow_ops.commands."]
    extension = found[word]
    if extension.problem:
        return [extension.problem]
    command = grammar.load().commands[word]
    assert isinstance(command, Command)
    return [*_of_the_package(extension), *_of_the_commands(word, command, extension)]


def _of_the_package(extension: Extension) -> Iterator[str]:
    folder = Path(str(importlib.import_module(extension.package).__file__)).parent
    if not (folder / "py.typed").exists():
        yield f"{extension.package} has no py.typed, so nobody's type checker looks at it."
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                if name.partition(".")[0] in _SLACK:
                    yield f"{file.name}, line {node.lineno}: {name} is imported; an operation knows nothing of Slack."


def _of_the_commands(word: str, command: Command, extension: Extension) -> Iterator[str]:
    tried: set[type[Operation]] = set()
    for path, leaf in leaves(command, word):
        if not leaf.help:
            yield f"{path} has no docstring, which is its help."
        if not leaf.examples:
            yield f"{path} has no example."
        for example in leaf.examples:
            try:
                operation = asked(example)
            except AssertionError as error:
                yield f"{path}: its example: {error}"
                continue
            yield from _of_an_operation(path, leaf, operation)
            tried.add(type(operation))
    for kind in extension.operations:
        if kind not in tried:
            yield f"No example asks for the operation {kind.name}."


def _of_an_operation(path: str, leaf: Command, operation: Operation) -> Iterator[str]:
    given = json.loads(json.dumps(operation.model_dump(mode="json")))
    if registry.build(operation.name, given) != operation:
        yield f"{path}: {operation.name} is another one after a way through JSON."
    plans = {"dry_run"} <= {each.name for each in leaf.params}
    if operation.risk is not Risk.READ and not plans:
        yield f"{path} changes something, so it is made with `change`, which gives it --dry-run and --break-glass."
    if operation.risk is Risk.READ and plans and operation.name != "dry-run":
        yield f"{path} only reads, so it is made with `command`."


def leaves(command: Command, path: str) -> Iterator[tuple[str, Command]]:
    """The commands under a word that are none for others, each with its words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, each in command.commands.items():
        assert isinstance(each, Command)
        yield from leaves(each, f"{path} {name}")


def asked(line: str) -> Operation:
    """What a line asks for, as it is typed after /mlflow. Raises AssertionError if it is no command, or help."""
    try:
        request = grammar.parse(line)
    except grammar.UsageError as error:
        raise AssertionError(f"{line!r} is not understood: {error}") from None
    if isinstance(request, BreakGlass):
        return request.operation
    if not isinstance(request, Operation):
        raise AssertionError(f"{line!r} asks for help.")  # noqa: TRY004 - whose test it is has typed it
    return request


def planned(operation: Operation, systems: Systems) -> Plan:
    """Its plan. Raises AssertionError if a second look at the same world makes another: nobody could approve it."""
    first, second = operation.plan(systems), operation.plan(systems)
    if first.digest != second.digest:
        raise AssertionError(f"The plan of {operation.name} changes by itself: {first.difference(second)}")
    if not (first.steps and first.undo):
        raise AssertionError(f"The plan of {operation.name} has no steps, or does not say how to undo it.")
    return Plan.model_validate_json(first.model_dump_json())


def ran(operation: Operation, systems: Systems) -> Report:
    """Its report, after a way through JSON as from a worker to the bot. Raises AssertionError if it says nothing."""
    report = operation.run(systems, Unwatched())
    if not (report.title and report.summary):
        raise AssertionError(f"The report of {operation.name} has no title or no summary, which is the answer.")
    return Report.model_validate_json(report.model_dump_json())


def refused(operation: Operation, systems: Systems) -> str:
    """What a person is told because it cannot be done. Raises AssertionError if it can."""
    try:
        operation.plan(systems) if operation.risk is not Risk.READ else operation.run(systems, Unwatched())
    except OperatorError as error:
        return str(error)
    raise AssertionError(f"{operation.name} can be done.")
