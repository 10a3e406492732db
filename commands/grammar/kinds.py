"""What an argument or an option may hold: a word out of a list, a whole number, a length of time, text as it was typed.

A mistake is one sentence, with the nearest right word where there is one.
"""

from __future__ import annotations

import re
from typing import Any, Final

import click

from commands.grammar import words
from workers.wording import nearest

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 365 * 86_400}
_LENGTH: Final = re.compile(
    r"(\d{1,6})\s*(s|m|h|d|w|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?|weeks?|y|years?)", re.IGNORECASE | re.ASCII
)
_KEY: Final = re.compile(r"(?!\w+://)[\w./: -]+=")
"""What may stand before the = of a tag or a parameter
(https://mlflow.org/docs/latest/api_reference/rest-api.html#mlflowruntag).
"""


class NotKnownError(click.BadParameter):
    """A word that is not among those that are known here. word: it; near: the one that was meant, or empty."""

    def __init__(self, message: str, word: str, near: str) -> None:
        super().__init__(message)
        self.word, self.near = word, near


class OneOf(click.Choice[str]):
    """A word out of a list, in any case; a typing mistake gets the nearest one instead of the whole list."""

    name = "word"

    def __init__(self, choices: Any) -> None:
        super().__init__(choices, case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word as the list has it. Raises NotKnownError."""
        known = [str(choice) for choice in self.choices]
        if str(value).casefold() in {each.casefold() for each in known}:
            return super().convert(value, param, ctx)
        near = nearest(str(value).casefold(), known, alike=0.5)
        right = "" if near else f" It must be one of {', '.join(known)}."
        raise NotKnownError(f"“{short(str(value))}” is not known here.{right}", str(value), near)


class Whole(click.IntRange):
    """A whole number within limits, which a mistake names."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or a usage error that says what it may be."""
        limits = f"between {self.min} and {self.max:,}" if self.max is not None else f"{self.min} or more"
        if re.fullmatch(r"[+-]?\d{1,12}", str(value)) is None:
            self.fail(f"“{short(str(value))}” is not a whole number; it must be one {limits}.", param, ctx)
        number = int(value)
        if number < (self.min or 0) or (self.max is not None and number > self.max):
            self.fail(f"{number:,} is not {limits}.", param, ctx)
        return number


class Duration(click.ParamType[float]):
    """A length of time such as 90s, 30m, 24h, 7d or 2w, or 90 days; in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds, or a usage error that says how it is written."""
        found = _LENGTH.fullmatch(str(value).strip())
        if found is None or int(found[1]) == 0:
            self.fail(f"“{short(str(value))}” is not a length of time; write 90s, 30m, 24h, 7d or 2w.", param, ctx)
        return float(int(found[1]) * _SECONDS[found[2][0].lower()])


class NameOf(click.types.StringParamType):
    """A name of something that there is, as it was typed: an experiment, a backup set, a pod. of: which of these; for
    who completes it.
    """

    def __init__(self, of: str) -> None:
        self.of = of


class FreeText(click.ParamType[str]):
    """Text that is taken as it was typed, up to the end of the line or to the options that stand there: no quote, dash,
    backslash or apostrophe in it means anything. Quotes around the whole of it are no part of it.

    A command may have one argument of this kind, its last one, and any number of options of it.
    """

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's
        """The text."""
        return str(value)


class FreePairs(click.ParamType[dict[str, str]]):
    """KEY=VALUE, once or several times, where a value is free text up to the next KEY= or to the end of the line."""

    name = "pairs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """The pairs by their keys, or a usage error for what is none, or given twice."""
        if isinstance(value, dict):
            return value
        line = str(value)
        found: dict[str, str] = {}
        for key, said in _pairs(line):
            if not key.strip():
                self.fail(f"“{short(said)}” is not KEY=VALUE: write it as key=value.", param, ctx)
            if key in found:
                self.fail(f"{short(key)} is given twice.", param, ctx)
            found[key] = said
        return found


def _pairs(line: str) -> list[tuple[str, str]]:
    groups: list[list[words.Word]] = []
    for word in words.split(line):
        begins = ("=" in word.text) if word.quoted else _KEY.match(word.text) is not None
        if begins or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)
    pairs = []
    for group in groups:
        typed = line[group[0].start : group[-1].end]
        text = group[0].text if len(group) == 1 and any(each in typed for each in words.QUOTES) else typed
        key, equals, said = text.partition("=")
        pairs.append((key, said) if equals else ("", text))
    return pairs


def short(word: str) -> str:
    """As much of a word as a sentence bears."""
    return word if len(word) <= 40 else f"{word[:39]}…"  # noqa: PLR2004 - as its docstring says
