"""Reads the environment and `ops.yaml` once, before anything else starts.

A wrong value stops the program with one sentence that names the key, says what is wrong and what would be right
(`SettingsError`; exit code 2 in `bot.process.cli`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from workers import redaction
from workers.settings.environment import Environment, SettingsError
from workers.settings.ops import Ops
from workers.settings.values import SHAPES
from workers.wording import nearest


class Settings(BaseModel):
    """Everything that a process was told: `environment` and `ops`."""

    model_config = ConfigDict(frozen=True)

    environment: Environment
    ops: Ops


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment and the `ops.yaml` that MLFLOW_OPS_CONFIG names (all defaults where it is not set).

    Raises SettingsError with one sentence about the first thing that is wrong.
    """
    present = {key: value for key, value in environ.items() if value}
    redaction.remember(_secrets(present))
    try:
        environment = Environment.model_validate(present)
    except ValidationError as error:
        raise SettingsError(_sentence(error, where="", model=Environment)) from None
    return Settings(environment=environment, ops=_read_ops(present.get("MLFLOW_OPS_CONFIG")))


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    """What the environment holds that nobody may read: by the variable's name, or as a password in an address."""
    for name, value in environ.items():
        if redaction.hides(name):
            yield value
        if name in {"MLFLOW_OPS_BACKUP_KEYS_OLD", "MLFLOW_OPS_AUDIT_KEY"}:
            yield from (each.strip() for each in value.split(","))
        with suppress(ValueError):
            password = urlsplit(value).password if "://" in value else None
            if password:
                yield password
                yield unquote(password)


def _read_ops(path: str | None) -> Ops:
    if path is None:
        return Ops()
    try:
        document: Any = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
    except OSError as error:
        msg = f"MLFLOW_OPS_CONFIG names {path}, which cannot be read ({error.strerror}): give the path of an ops.yaml."
        raise SettingsError(msg) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        msg = f"{path} is not valid YAML{line}: {getattr(error, 'problem', None) or 'it is not UTF-8 text'}."
        raise SettingsError(msg) from None
    if document is None:
        return Ops()
    if not isinstance(document, dict):
        msg = f"{path} must hold keys such as 'channels:' at its top, not a {type(document).__name__}."
        raise SettingsError(msg)
    try:
        return Ops.model_validate(document)
    except ValidationError as error:
        raise SettingsError(_sentence(error, where=f"{path}: ", model=Ops)) from None


def _sentence(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    found = error.errors(include_url=False, include_context=False)
    # A key that is spelled wrong is why another one is missing.
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        known = _keys_at(model, first["loc"][:-1])
        near = nearest(str(first["loc"][-1]), known)
        right = f"did you mean {near}?" if near else f"known here: {', '.join(known)}."
        return f"{where}{key} is not a setting; {right}"
    value = first["input"]
    shown = "" if isinstance(value, dict | BaseModel) or model is Environment else f" (it is {value!r})"
    return f"{where}{key} is wrong{shown}: {_problem(error, first['loc'])}."


def _problem(error: ValidationError, location: tuple[int | str, ...]) -> str:
    first = next(each for each in error.errors(include_url=False) if each["loc"] == location)
    context = first.get("ctx", {})
    if first["type"] == "literal_error":
        known = re.findall("'([^']*)'", str(context.get("expected")))
        near = nearest(str(first["input"]).lower(), known)
        return f"it must be {context.get('expected')}{f'; did you mean {near}?' if near else ''}".rstrip("?")
    if first["type"] == "string_pattern_mismatch" and context.get("pattern") in SHAPES:
        return f"it must be {SHAPES[context['pattern']]}"
    said = first["msg"].removeprefix("Value error, ")
    return f"{said[0].lower()}{said[1:]}"


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the section at this place, also where sections stand in a list or under names of one's own."""
    here: Any = model
    for part in location:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:
            here = _section_in(here)
    found = _section_in(here)
    return list(found.model_fields) if found is not None else []


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a list, a mapping or an optional value holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (_section_in(each) for each in get_args(annotation))
    return next((each for each in inside if each is not None), None)


class _Loader(yaml.SafeLoader):
    """YAML that gives a key twice would lose the first one without a word (yaml.org/spec/1.2.2, 3.2.1.3)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - yaml's
        """The mapping. Raises ConstructorError for a key that is given twice."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value} is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)
