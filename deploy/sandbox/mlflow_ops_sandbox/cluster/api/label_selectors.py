"""Label selectors: ``app=mlflow,tier in (web,api),!canary,weight>3``.

The parser follows k8s.io/apimachinery/pkg/labels token by token, because clients see its complaints word for word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.status import bad_request

_SPECIAL = "=!(),<>"
_TOKENS = frozenset({"=", "==", "!=", "!", "(", ")", ",", ">", "<"})
_BINARY_OPERATORS = "in, notin, =, ==, !=, gt, lt"
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LONGEST = 63


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    """One of: in, notin, exists, !, gt, lt."""
    values: frozenset[str] = frozenset()

    def matches(self, labels: dict[str, str]) -> bool:
        """Say whether these labels satisfy it."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        if value is None or not value.lstrip("-").isdigit():
            return False
        limit = int(next(iter(self.values)))
        return int(value) > limit if self.operator == "gt" else int(value) < limit


LabelSelector = tuple[Requirement, ...]


def matches(selector: LabelSelector, labels: dict[str, str]) -> bool:
    """Say whether labels satisfy all requirements."""
    return all(requirement.matches(labels) for requirement in selector)


def parse_label_selector(text: str) -> LabelSelector:
    """Read the ``labelSelector`` parameter. Raises ApiError 400 with the sentence of the real parser."""
    return _Parser(_tokens(text)).parse()


def selector_of(spec: Object | None) -> LabelSelector:
    """Read a selector from an object: ``{matchLabels, matchExpressions}``. An absent one selects nothing."""
    if spec is None:
        return (Requirement("", "exists"),)
    requirements = [
        Requirement(key, "in", frozenset({value})) for key, value in (spec.get("matchLabels") or {}).items()
    ]
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    for expression in spec.get("matchExpressions") or ():
        values = frozenset(expression.get("values") or ())
        requirements.append(Requirement(expression["key"], operators[expression["operator"]], values))
    return tuple(requirements)


def format_selector(spec: Object | None) -> str:
    """Write a selector of an object as tables and the scale subresource show it; ``<none>`` where there is none."""
    if spec is None:
        return "<none>"
    parts = [f"{key}={value}" for key, value in (spec.get("matchLabels") or {}).items()]
    for expression in spec.get("matchExpressions") or ():
        operator, values = expression["operator"], ",".join(sorted(expression.get("values") or ()))
        forms = {"Exists": expression["key"], "DoesNotExist": f"!{expression['key']}"}
        parts.append(forms.get(operator, f"{expression['key']} {operator.lower()} ({values})"))
    return ",".join(sorted(parts)) or "<none>"


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character in " \t\r\n":
            position += 1
        elif character in _SPECIAL:
            end = position + 1
            while text[position : end + 1] in _TOKENS and end < len(text):
                end += 1
            found.append(text[position:end])
            position = end
        else:
            end = position
            while end < len(text) and text[end] not in _SPECIAL and text[end] not in " \t\r\n":
                end += 1
            found.append(text[position:end])
            position = end
    return found


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0

    def parse(self) -> LabelSelector:
        requirements: list[Requirement] = []
        while True:
            word = self._peek()
            if not word:
                return tuple(requirements)
            if word in _TOKENS and word != "!":
                message = f"found '{word}', expected: !, identifier, or 'end of string'"
                raise bad_request(message)
            requirements.append(self._requirement())
            word = self._take()
            if not word:
                return tuple(requirements)
            if word != ",":
                message = f"found '{word}', expected: ',' or 'end of string'"
                raise bad_request(message)
            word = self._peek()
            if not word or (word in _TOKENS and word != "!"):
                message = f"found '{word}', expected: identifier after ','"
                raise bad_request(message)

    def _requirement(self) -> Requirement:
        absent = self._peek() == "!"
        if absent:
            self._take()
        key = self._take()
        if not key or key in _TOKENS:
            raise _unparsable(f"found '{key}', expected: identifier")
        _check_key(key)
        if absent:
            return Requirement(key, "!")
        if self._peek() in {"", ","}:
            return Requirement(key, "exists")
        operator = self._take()
        if operator in {"in", "notin"}:
            values = self._listed_values()
        elif operator in {"=", "==", "!=", ">", "<"}:
            values = frozenset({self._exact_value()})
        else:
            raise _unparsable(f"found '{operator}', expected: {_BINARY_OPERATORS}")
        names = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}
        for value in values:
            _check_value(key, value)
            if operator in {">", "<"} and not value.lstrip("-").isdigit():
                raise _unparsable(
                    f"values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be "
                    "an integer"
                )
        return Requirement(key, names.get(operator, operator), values)

    def _listed_values(self) -> frozenset[str]:
        word = self._take()
        if word != "(":
            raise _unparsable(f"found '{word}' expected: '('")
        values: set[str] = set()
        word = self._take()
        if word == ")":
            return frozenset({""})
        while True:
            if word == ",":
                values.add("")
                word = self._take()
                continue
            if not word or word in _TOKENS - {")"}:
                raise _unparsable(f"found '{word}', expected: ',', ')' or identifier")
            if word == ")":
                values.add("")
                return frozenset(values)
            values.add(word)
            word = self._take()
            if word == ")":
                return frozenset(values)
            if word != ",":
                raise _unparsable(f"found '{word}', expected: ',' or ')'")
            word = self._take()

    def _exact_value(self) -> str:
        word = self._peek()
        if word in {"", ","}:
            return ""
        self._take()
        if word in _TOKENS:
            raise _unparsable(f"found '{word}', expected: identifier")
        return word

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _take(self) -> str:
        word = self._peek()
        self._position += 1
        return word


def _check_key(key: str) -> None:
    name = key.rpartition("/")[2]
    if not _LABEL_NAME.fullmatch(name) or len(name) > _LONGEST:
        raise _unparsable(
            f"key: Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
            "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )


def _check_value(key: str, value: str) -> None:
    if len(value) > _LONGEST:
        raise _unparsable(f'values[0][{key}]: Invalid value: "{value}": must be no more than {_LONGEST} characters')
    if not _LABEL_VALUE.fullmatch(value):
        raise _unparsable(
            f'values[0][{key}]: Invalid value: "{value}": a valid label must be an empty string or consist of '
            "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
            "'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )


def _unparsable(problem: str) -> Exception:
    return bad_request(f"unable to parse requirement: {problem}")
