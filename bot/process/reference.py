"""The settings as a document: every key of ops.yaml and every variable, from the models that read them.

docs/configuration.md is what this prints; a test compares the two.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from workers.settings import Environment, Ops

_HEAD: Final = """# Configuration

Every key of ops.yaml and every variable of the environment: its type, limits, default and meaning.

Made by `mlflow-ops config reference`; do not edit it by hand. A wrong key or value stops the process with one sentence
that names it (exit code 2).

## Environment

Secrets come from here only. `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION` and what else boto3 reads go to
it as they are.

| Variable | What it is |
| --- | --- |
"""
_OPS: Final = """
## ops.yaml

`MLFLOW_OPS_CONFIG` is its path. It holds no secret. Where a key is left out, the default holds.
"""

_OTHERS: Final = (
    ("MLFLOW_OPS_CONFIG", "the path of ops.yaml; all defaults where it is not set"),
    ("NO_COLOR", "set: no colors in a terminal"),
    ("XDG_CACHE_HOME", "where completion keeps names for a minute; default `~/.cache`"),
    ("XDG_STATE_HOME", "where `mlflow-ops shell` keeps its history; default `~/.local/state`"),
)


def markdown() -> str:
    """The whole document."""
    variables = sorted(f"| `{field.alias}` | {_variable(field)} |" for _, field in _fields(Environment))
    rows = [*(f"| `{name}` | {meaning} |" for name, meaning in _OTHERS), *variables]
    return _HEAD + "\n".join(sorted(rows)) + "\n" + _OPS + "\n".join(_section("", Ops))


def _variable(field: FieldInfo) -> str:
    default = f"; default `{field.default}`" if field.default not in {None, PydanticUndefined} else ""
    return _cell((field.description or "") + default)


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    plain = [(name, field) for name, field in _fields(model) if _model_in(field.annotation) is None]
    nested = [(name, field) for name, field in _fields(model) if _model_in(field.annotation) is not None]
    yield ""
    if path:
        yield f"### {path}\n\n{' '.join((model.__doc__ or '').split())}\n"
    if plain:
        yield "| Key | Type | Default | What it is |\n| --- | --- | --- | --- |"
        for name, field in plain:
            kind, default = _cell(_kind(field)), _cell(_default(field))
            yield f"| `{name}` | {kind} | {default} | {_cell(field.description or '')} |"
    for name, field in nested:
        found = _model_in(field.annotation)
        assert found is not None
        inner, keyed = found
        where = f"{path}.{name}" if path else name
        yield from _section(f"{where}.NAME" if keyed else where, inner)


def _fields(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return list(model.model_fields.items())


def _model_in(annotation: Any) -> tuple[type[BaseModel], bool] | None:
    """The model that a field holds, and whether it holds many by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for argument in typing.get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found[0], found[1] or typing.get_origin(annotation) is dict
    return None


def _kind(field: FieldInfo) -> str:
    said = _named(field.annotation)
    limits = [
        f"{word} {getattr(each, attribute):g}"
        for each in field.metadata
        for attribute, word in (("ge", "from"), ("gt", "above"), ("le", "up to"), ("lt", "below"))
        if getattr(each, attribute, None) is not None
    ]
    patterns = [f"`{each.pattern}`" for each in field.metadata if getattr(each, "pattern", None)]
    return ", ".join([said, *limits, *patterns])


def _named(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _named(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(_named(each) for each in arguments if each is not type(None))
    if origin is tuple:
        return f"list of {_named(arguments[0])}"
    if origin is dict:
        return f"{_named(arguments[1])} by name"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
        getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation))
    )


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be given"
    if value is None or value == () or value in ("", {}):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))
