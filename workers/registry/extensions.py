"""Commands of one's own: packages that somebody installs beside this one (docs/extending.md).

Such a package has an entry point of the group `mlflow_ops.commands`, whose name is the word after /mlflow and whose
value is the package. It has two modules, or packages, as ours is divided: `operations`, which is imported here, and
`commands`, which the grammar imports. Whatever is wrong with one leaves it out as a whole: the reason is kept as a
sentence, which `mlflow-ops check` says, and no other command is the poorer for it.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from workers.operation import Operation, Risk
from workers.redaction import one_line

GROUP: Final = "mlflow_ops.commands"
_WORD: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Extension:
    """A package with commands. word: what it is typed with; package: what is imported; source: who made it, with the
    version; problem: why it is left out, as a sentence, or empty.
    """

    word: str
    package: str
    source: str
    operations: tuple[type[Operation], ...] = ()
    problem: str = ""


def judged(taken: Collection[str]) -> tuple[Extension, ...]:
    """All that are installed, the broken ones too, by their words. taken: the names of the product's own operations."""
    found: list[Extension] = []
    words: dict[str, str] = {}
    for each in imported():
        clash = sorted({kind.name for kind in each.operations} & set(taken))
        if each.problem:
            found.append(each)
        elif each.word in words:
            found.append(replace(each, problem=f"{words[each.word]} adds {each.word} as well: uninstall one of them."))
        elif clash:
            found.append(replace(each, problem=f"Its operation {clash[0]} is one of the product's: call it otherwise."))
        else:
            words[each.word] = each.source
            found.append(each)
    return tuple(found)


def belongs(kind: type[Operation], packages: Collection[str]) -> bool:
    """Whether an operation was defined in one of these packages."""
    return any(kind.__module__ == each or kind.__module__.startswith(f"{each}.") for each in packages)


def members(package: str, part: str) -> tuple[list[object], str]:
    """What the module `package.part`, or each module of the package of that name, has in it; and why that cannot be
    known, or "".
    """
    try:
        module = importlib.import_module(f"{package}.{part}")
        modules = [module]
        for each in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
            modules.append(importlib.import_module(each.name))  # noqa: PERF401 - each may need the one before it
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code must not cost us our commands
        return [], f"{package}.{part} cannot be imported: {type(error).__name__}: {one_line(str(error))}"
    return [each for module in modules for each in vars(module).values()], ""


@cache
def imported() -> tuple[Extension, ...]:
    """All that are installed, each with its operations, judged by itself alone."""
    points = sorted(entry_points(group=GROUP), key=lambda each: (each.name, _source(each)))
    return tuple(_import(each) for each in points)


def _import(point: EntryPoint) -> Extension:
    extension = Extension(word=point.name, package=point.value.strip(), source=_source(point))
    if not _WORD.fullmatch(point.name):
        return replace(extension, problem=f"Its entry point's name, {point.name!r}, is no word such as hello.")
    if not all(part.isidentifier() for part in extension.package.split(".")):
        return replace(extension, problem=f"Its entry point's value, {point.value!r}, is no package.")
    there, problem = members(extension.package, "operations")
    if problem:
        return replace(extension, problem=problem)
    kinds = {
        id(each): each
        for each in there
        if isinstance(each, type) and issubclass(each, Operation) and belongs(each, [extension.package])
    }
    named = tuple(kind for kind in kinds.values() if "name" in vars(kind))
    return replace(extension, operations=named, problem=contract(extension.word, named))


def contract(word: str, kinds: Sequence[type[Operation]]) -> str:
    """What is wrong with the operations of a package whose commands begin with `word`, as a sentence; "" if nothing."""
    if not kinds:
        return "It has no operation: operations.py defines a subclass of Operation with a name."
    names = [kind.name for kind in kinds]
    for kind in kinds:
        wrong = next((sentence for sentence, holds in _RULES.items() if not holds(word, kind)), "")
        if wrong:
            return f"Its operation {kind.name}: {wrong.format(word=word)}"
    twice = sorted(name for name in set(names) if names.count(name) > 1)
    return f"Two of its operations are called {twice[0]}." if twice else ""


_RULES: Final[dict[str, Callable[[str, type[Operation]], bool]]] = {
    "its name must be {word}, or begin with {word}- as ours do with their chapters'.": lambda word, kind: (
        kind.name == word or kind.name.startswith(f"{word}-")
    ),
    "its risk must be one of Risk.": lambda _, kind: isinstance(getattr(kind, "risk", None), Risk),
    "it must define run.": lambda _, kind: kind.run is not Operation.run,
    "what changes something must define plan, which is what is approved.": lambda _, kind: (
        kind.risk is Risk.READ or kind.plan is not Operation.plan
    ),
    "it must stay frozen, and refuse fields that it does not know.": lambda _, kind: (
        kind.model_config.get("frozen") is True and kind.model_config.get("extra") == "forbid"
    ),
}


def _source(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
