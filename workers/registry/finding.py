"""Finds the operations: every subclass of Operation with a name, in any module of this package or of an extension.

A job in Redis holds an operation's name and its arguments, never the path of something to import; so what a job can
start is what is installed, and arguments are validated by the operation's own model.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import ValidationError

from workers.errors import OperatorError
from workers.operation import Operation
from workers.registry.extensions import Extension, belongs, imported, judged


def operations() -> dict[str, type[Operation]]:
    """Every operation by its name. Raises ValueError where two of ours bear the same one."""
    ours = _ours()
    sound = [each for each in judged(ours) if not each.problem]
    return ours | {kind.name: kind for each in sound for kind in each.operations}


def extensions() -> tuple[Extension, ...]:
    """The packages that add operations, the broken ones too, each with what is wrong with it."""
    return judged(_ours())


def _ours() -> dict[str, type[Operation]]:
    _import_all()
    packages = [each.package for each in judged(())]
    found: dict[str, type[Operation]] = {}
    for kind in _subclasses(Operation):
        name = getattr(kind, "name", None)
        if name is None or belongs(kind, packages):
            continue
        if name in found:
            msg = f"two operations are called {name!r}: {found[name].__qualname__} and {kind.__qualname__}"
            raise ValueError(msg)
        found[name] = kind
    return found


def forget() -> None:
    """Look anew at what is installed, when that is next asked for."""
    _import_all.cache_clear()
    imported.cache_clear()


def build(name: str, arguments: dict[str, Any]) -> Operation:
    """The operation of that name with those arguments. Raises OperatorError where either is not valid."""
    kind = operations().get(name)
    if kind is None:
        raise OperatorError(
            f"There is no operation called {name!r} in this version.",
            "Bot and workers may run different versions: deploy the same image for both.",
        )
    try:
        return kind.model_validate(arguments)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise OperatorError(f"{name}: {key} is not valid: {first['msg']}.", "Ask again.") from None


_NO_OPERATIONS = ("workers.operations.backup.artifacts",)
"""Has no operation and heavy libraries, which the bot does not need."""


@cache
def _import_all() -> None:
    # By its name: operations may ask the registry for their titles, and packages import in one direction only.
    package = importlib.import_module("workers.operations")
    _import_below(package.__path__, package.__name__)


def _import_below(path: Iterable[str], name: str) -> None:
    # pkgutil.walk_packages would import the packages that are left out, to look into them.
    for module in pkgutil.iter_modules(path, f"{name}."):
        if not module.name.startswith(_NO_OPERATIONS):
            imported = importlib.import_module(module.name)
            if module.ispkg:
                _import_below(imported.__path__, module.name)


def _subclasses(kind: type[Operation]) -> list[type[Operation]]:
    return [each for child in kind.__subclasses__() for each in (child, *_subclasses(child))]
