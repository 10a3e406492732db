"""What a key may be called, what its value may be, and how a value is shown to people.

Values whose name or shape is a secret's are never shown: a short fingerprint says whether two are the same. It is
keyed with the object's uid, which is in no message, so that a short value cannot be guessed from it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.redaction import names_a_secret, without_secrets
from workers.wording import nearest

if TYPE_CHECKING:
    from workers.settings import Configuration, ConfigurationKey

LONGEST_VALUE: Final = 500
"""Characters of a value that is set from here: what is approved must be readable as a whole."""
MOST_KEYS: Final = 20
"""Keys in one change: as many as a plan shows."""
NOT_SET: Final = "(not set)"

_KEY: Final = re.compile(r"(?!\.{1,2}$)[-._a-zA-Z0-9]{1,253}")
"""https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/config-map-v1/"""
_SECRET_WORDS: Final = {"key", "auth"}
_WORDS: Final = re.compile(r"[-._]|(?<=[a-z0-9])(?=[A-Z])")


def key_problem(key: str) -> str:
    """Why this cannot be a key of a ConfigMap; empty where it can."""
    if _KEY.fullmatch(key):
        return ""
    return f"“{key[:40]}” cannot be a key: letters, digits, -, _ and . only, 253 at most."


def value_problem(key: str, value: str) -> str:
    """Why this value cannot be set from a command, whatever the key's rules are; empty where it can."""
    if looks_secret(key, value):
        return (
            f"{key} looks like a secret, and what is typed here is read by others and recorded: nothing was done. "
            "Keep it in a Secret and set it with kubectl"
        )
    if len(value) > LONGEST_VALUE:
        return f"the value of {key} is {len(value):,} characters long; the limit is {LONGEST_VALUE}"
    if not value.isprintable():
        return f"the value of {key} has a line break or another character that cannot be shown"
    return ""


def check(configuration: Configuration, wanted: Mapping[str, str | None]) -> None:
    """Raise OperatorError for the first key or value that ops.yaml does not allow. None: the key is to be removed."""
    rules = configuration.keys
    if not rules:
        return
    for key, value in wanted.items():
        rule = rules.get(key)
        if rule is None:
            near = nearest(key, rules)
            known = f"Did you mean {near}?" if near else f"It lists {', '.join(sorted(rules))}."
            raise OperatorError(f"{key} is not among the keys that ops.yaml allows (configuration.keys).", known)
        problem = "" if value is None else _broken(rule, value)
        if problem:
            meaning = f"{key}: {rule.description}" if rule.description else "See configuration.keys in ops.yaml."
            raise OperatorError(f"“{value}” is not allowed for {key}: it must be {problem}.", meaning)


def _broken(rule: ConfigurationKey, value: str) -> str:
    """The rule that a value breaks, as what it must be."""
    shapes = {
        "integer": (r"[+-]?\d+", "a whole number"),
        "number": (r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", "a number"),
        "boolean": ("true|false", "true or false"),
    }
    shape = shapes.get(rule.type)
    if shape and not re.fullmatch(shape[0], value, re.ASCII):
        return shape[1]
    if rule.choices and value not in rule.choices:
        return f"one of {', '.join(rule.choices)}"
    if rule.pattern and not re.fullmatch(rule.pattern, value):
        return f"of the form {rule.pattern}"
    return ""


def looks_secret(key: str, value: str) -> bool:
    """True where the name is a secret's, or the value has the shape of one (a password in an address, a token)."""
    words = {word.lower() for word in _WORDS.split(key)}
    return names_a_secret(key) or bool(words & _SECRET_WORDS) or without_secrets(value) != value


def fingerprint(uid: str, key: str, value: str) -> str:
    """Eight hexadecimal digits: the same for the same value of the same key of the same object."""
    return hmac.new(uid.encode(), f"{key}\0{value}".encode(), hashlib.sha256).hexdigest()[:8]


def shown(uid: str, key: str, value: str | None) -> str:
    """A value as people may see it, on one line."""
    if value is None:
        return NOT_SET
    if not value:
        return "(empty)"
    if looks_secret(key, value):
        return f"hidden, fingerprint {fingerprint(uid, key, value)}"
    if len(value) > LONGEST_VALUE or not _is_plain(value):
        flat = " ".join(value[:LONGEST_VALUE].split())
        return f"{flat}… ({len(value):,} characters, fingerprint {fingerprint(uid, key, value)})"
    return value


def checksum(configmap: Mapping[str, Any]) -> str:
    """SHA-256 over all that a ConfigMap holds, in hexadecimal."""
    held = [configmap.get("data") or {}, configmap.get("binaryData") or {}]
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def undo_commands(before: Mapping[str, str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The commands that put values back, as typed after /mlflow; and the keys whose value no command can hold."""
    typed = {key: value for key, value in before.items() if value is not None and _can_be_typed(key, value)}
    gone = [key for key, value in before.items() if value is None]
    lost = tuple(key for key, value in before.items() if value is not None and key not in typed)
    commands = []
    if typed:
        commands.append("config set " + " ".join(shlex.quote(f"{key}={value}") for key, value in typed.items()))
    if gone:
        commands.append("config unset " + " ".join(gone))
    return tuple(commands), lost


def _can_be_typed(key: str, value: str) -> bool:
    return not value_problem(key, value) and _is_plain(value)


def _is_plain(value: str) -> bool:
    """Whether Slack shows it as it is: within code, spaces are shown as one, and a backtick as an apostrophe."""
    return " ".join(value.split()) == value and "`" not in value
