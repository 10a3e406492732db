"""One field of a YAML file is read or changed, and every other byte of the file stays: comments, quotes, order.

Dumping a parsed file anew would rewrite what nobody asked for, and reviewers would have to look through it. So the
parser only says where a value stands, and the value is replaced there. What comes out is parsed again and compared with
what was wanted: a file for which that does not hold (a shared anchor, a template) is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from workers.errors import OperatorError

Scalar = str | int
Step = str | tuple[str, str]
"""A key, or of a list's items the one with this field of that value."""

_STEP: Final = re.compile(r"([^.\[\]]+)(?:\[(\w+)=([^\]]+)\])?(?:\.|$)")
_PLAIN: Final = re.compile(r"[A-Za-z0-9/][\w./:@+-]*(?<!:)")
_HINT: Final = "Check gitops.fields in ops.yaml, or make the change in Git by hand."
_INDENT: Final = 2


@dataclass(frozen=True)
class Place:
    """A field in a file. kind and name: of the object, for a file of several documents. path: as in ops.yaml."""

    file: str
    kind: str
    name: str
    path: str

    @property
    def steps(self) -> list[Step]:
        """The path, part by part."""
        found: list[Step] = []
        for key, field, value in _STEP.findall(self.path):
            found.append(key)
            if field:
                found.append((field, value))
        return found


def value_at(text: str, place: Place) -> Any:
    """What the field holds, as plain data; None if there is none. Raises OperatorError for what is no such file."""
    documents = _loaded(text, place)
    return _got(documents[_document(documents, place)], place.steps)


def edited(text: str, place: Place, values: Mapping[tuple[str, ...], Scalar]) -> str:
    """The file with these values, by their keys below the field. Raises OperatorError if it takes more than that."""
    documents = _loaded(text, place)
    number = _document(documents, place)
    for keys, value in values.items():
        steps = [*place.steps, *keys]
        text = _with(text, number, steps, value, place)
        _put(documents[number], steps, value)
    try:
        clean = _loaded(text, place) == documents
    except OperatorError:
        clean = False
    if not clean:
        raise OperatorError(f"{place.path} of {place.file} cannot be changed without changing more of it.", _HINT)
    return text


def _loaded(text: str, place: Place) -> list[Any]:
    """The documents as data that shares nothing."""
    try:
        return [json.loads(json.dumps(each, default=str)) for each in yaml.safe_load_all(text)]
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        message = f"{place.file} is not plain YAML{line}. Is it a template?"
        raise OperatorError(message, "Name the file of its values in gitops.fields in ops.yaml.") from None


def _document(documents: Sequence[Any], place: Place) -> int:
    there = [number for number, each in enumerate(documents) if isinstance(each, dict)]
    if len(there) == 1:
        return there[0]
    for number in there:
        metadata = documents[number].get("metadata") or {}
        if documents[number].get("kind") == place.kind and metadata.get("name") == place.name:
            return number
    raise OperatorError(f"{place.file} has no document of the {place.kind} {place.name}.", _HINT)


def _got(value: Any, steps: Sequence[Step]) -> Any:
    for step in steps:
        if isinstance(step, tuple):
            items = value if isinstance(value, list) else []
            value = next((each for each in items if isinstance(each, dict) and str(each.get(step[0])) == step[1]), None)
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _put(value: Any, steps: Sequence[Step], wanted: Scalar) -> None:
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, tuple):
            value = _got(value, [step])
        elif after is None:
            value[step] = wanted
        else:
            if value.get(step) is None:
                value[step] = {}
            value = value[step]


def _with(text: str, number: int, steps: Sequence[Step], value: Scalar, place: Place) -> str:
    try:
        node: Node = list(YAML(typ="rt").compose_all(text))[number]
    except YAMLError:
        raise OperatorError(f"{place.file} cannot be read as YAML 1.2.", _HINT) from None
    at = 0
    for depth, step in enumerate(steps):
        found = _child(node, step)
        if found is None:
            return _inserted(text, node, at, steps[depth:], value, place)
        at = _key_end(text, node, step)
        node = found
    if not isinstance(node, ScalarNode):
        raise OperatorError(f"{place.path} of {place.file} holds more than one value.", _HINT)
    return _replaced(text, node, at, _written(value, node))


def _child(node: Node, step: Step) -> Node | None:
    if isinstance(step, tuple):
        items = node.value if isinstance(node, SequenceNode) else []
        wanted = (each for each in items if getattr(_child(each, step[0]), "value", None) == step[1])
        return next(wanted, None)
    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for key, value in pairs if key.value == step), None)


def _key_end(text: str, node: Node, step: Step) -> int:
    """Behind the colon of a key; 0 for an item of a list."""
    pairs = node.value if isinstance(node, MappingNode) else []
    return next((text.index(":", key.end_mark.index) + 1 for key, _ in pairs if key.value == step), 0)


def _replaced(text: str, node: Node, at: int, written: str) -> str:
    """at: where a value stands that is left out; the parser's mark is where the next thing begins."""
    begin, end = node.start_mark.index, node.end_mark.index
    if begin == end:
        return f"{text[:at]} {written}{text[at:]}"
    if text[begin:end].endswith("\n"):
        written += "\n"
    return text[:begin] + written + text[end:]


def _inserted(  # noqa: PLR0913, PLR0917 - where, and what
    text: str, node: Node, at: int, steps: Sequence[Step], value: Scalar, place: Place
) -> str:
    """The value under keys that are not there yet."""
    if any(isinstance(step, tuple) for step in steps):
        raise OperatorError(f"{place.file} has nothing at {place.path}.", _HINT)
    keys = [_written(str(step), None) for step in steps]
    flow = f"{keys[-1]}: {_written(value, None)}"
    for key in reversed(keys[:-1]):
        flow = f"{key}: {{{flow}}}"
    if isinstance(node, ScalarNode) and str(node.tag).endswith(":null"):
        return _replaced(text, node, at, f"{{{flow}}}")
    if not isinstance(node, MappingNode):
        raise OperatorError(f"{place.path} of {place.file} is no place for more keys.", _HINT)
    if node.flow_style:
        at = _end(node.value[-1][1]) if node.value else node.start_mark.index + 1
        return text[:at] + (f", {flow}" if node.value else flow) + text[at:]
    column = node.value[0][0].start_mark.column
    lines = [f"{' ' * (column + _INDENT * depth)}{key}:" for depth, key in enumerate(keys)]
    block = "\n".join(lines) + f" {_written(value, None)}\n"
    end = _end(node)
    if not text[:end].endswith("\n"):
        end = text.find("\n", end) + 1 or len(text)
    before = text[:end]
    return before + ("" if before.endswith("\n") else "\n") + block + text[end:]


def _end(node: Node) -> int:
    """Where the last value ends; a block's own mark is where the next thing begins, behind comments."""
    if isinstance(node, MappingNode) and node.value and not node.flow_style:
        return _end(node.value[-1][1])
    if isinstance(node, SequenceNode) and node.value and not node.flow_style:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _written(value: Scalar, like: Node | None) -> str:
    """A value as YAML; of a text, quoted as the one before it."""
    if isinstance(value, int):
        return str(value)
    style = getattr(like, "style", None)
    if style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if style != '"' and _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
