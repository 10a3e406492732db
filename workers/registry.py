"""Finds the operations: every subclass of Operation with a name, in any module of this package.

A job in Redis holds an operation's name and its arguments, never the path of something to import; so what a job can
start is what stands in this package, and arguments are validated by the operation's own model.
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


def operations() -> dict[str, type[Operation]]:
    """Every operation by its name. Raises ValueError where two bear the same one."""
    _import_all()
    found: dict[str, type[Operation]] = {}
    for kind in _subclasses(Operation):
        name = getattr(kind, "name", None)
        if name is None:
            continue
        if name in found:
            msg = f"two operations are called {name!r}: {found[name].__qualname__} and {kind.__qualname__}"
            raise ValueError(msg)
        found[name] = kind
    return found


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
