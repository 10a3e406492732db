"""Counts, sizes, durations, moments and names as people read them.

What is said of a number is a `Figure`: a text like any other, which also knows the number. Standing alone in a table's
cell it reaches `-o json` as data; as part of a sentence it is only words.
"""

from __future__ import annotations

import difflib
import re
import shlex
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal, Self

MINUTE, HOUR, DAY = 60, 3600, 86400

_FREE = re.compile(r"[^\W_]")
_LIKE_AN_OPTION = re.compile(r"(?:^|\s)[-\u2010-\u2015\u2212]|^(?:help|\?)", re.IGNORECASE)
_PLAIN = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\uff07", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\uff02\u00ab\u00bb", '"'),
    "\u2212": "-",
}

NOTHING = "\u2013"
"""A dash in a table's cell for what there is not."""


Unit = Literal["number", "bytes", "seconds", "share", "time", "name"]
"""What a figure's value is: a number, bytes, seconds, a part of 1, a moment in ISO 8601, or the whole of a name."""


class Figure(str):
    """A text that stands for a number or a moment. value: it, in its unit; the text is what a person reads."""

    __slots__ = ("unit", "value")
    value: float | str
    unit: Unit

    def __new__(cls, text: str, value: float | str, unit: Unit = "number") -> Self:
        """The text, with what it stands for."""
        made = super().__new__(cls, text)
        made.value, made.unit = value, unit
        return made

    def __getnewargs__(self) -> tuple[str, float | str, Unit]:  # type: ignore[override] # a str has its text alone
        """As a copy is made."""
        return str(self), self.value, self.unit


class Linked(str):
    """A text that leads somewhere. url: where."""

    __slots__ = ("url",)
    url: str

    def __new__(cls, text: str, url: str) -> Self:
        """The text, with where it leads."""
        made = super().__new__(cls, text)
        made.url = url
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override] # a str has its text alone
        """As a copy is made."""
        return str(self), self.url


_OF_ONE: Final = {"are": "is", "were": "was", "have": "has"}


def linked(text: str, url: str) -> str:
    """The text, leading there where there is an address."""
    return Linked(text, url) if url else text


def thousands(value: int) -> Figure:
    """1,234."""
    return Figure(f"{value:,}", value)


def count(number: int, word: str, verb: str = "") -> Figure:
    """1 pod, 2 pods; with a verb, as several have it: 1 pod is, 2 pods are."""
    counted = f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
    return Figure(f"{counted} {agreeing(number, verb)}".rstrip(), number)


def agreeing(number: int, verb: str) -> str:
    """A verb as one thing has it, or several. verb: as several have it."""
    return _OF_ONE.get(verb, f"{verb}s" if verb else "") if number == 1 else verb


def duration(seconds: float) -> Figure:
    """The two largest units at most: 41 s, 12 min, 3 h 5 min, 2 d 4 h."""
    return Figure(_duration(seconds), round(seconds, 3), "seconds")


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 2 * MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        return _two(whole, (HOUR, "h"), (MINUTE, "min"))
    return _two(whole, (DAY, "d"), (HOUR, "h"))


def ago(seconds: float) -> Figure:
    """3 h 5 min ago."""
    return Figure(f"{duration(seconds)} ago", round(seconds, 3), "seconds")


def moment(at: datetime | float, shown: str = "%Y-%m-%d %H:%M UTC") -> Figure:
    """2026-11-23 12:00 UTC. A number is in seconds since 1970; a datetime bears its zone. shown: as strftime has it."""
    when = at.astimezone(UTC) if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return Figure(f"{when:{shown}}", f"{when:%Y-%m-%dT%H:%M:%SZ}", "time")


def milliseconds(seconds: float) -> Figure:
    """0.8 ms, 12 ms, 1,240 ms."""
    value = seconds * 1000
    text = f"{value:z.1f} ms" if round(value, 1) < 10 else f"{value:,.0f} ms"  # noqa: PLR2004 - one decimal where it matters
    return Figure(text, round(seconds, 6), "seconds")


def size(number: float) -> Figure:
    """Bytes in binary units, as Kubernetes counts memory: 512 B, 1.4 GiB."""
    return Figure(_size(number), round(number), "bytes")


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        # As it is shown: just below 1 MiB rounds to 1.0 MiB, and not to 1024 KiB.
        digits = 0 if unit == "B" or round(abs(number), 1) >= 100 else 1  # noqa: PLR2004
        if round(abs(number), digits) < 1024:  # noqa: PLR2004
            return f"{number:z.{digits}f} {unit}"
        number /= 1024
    return f"{number:,.1f} PiB"


def share(part: float) -> Figure:
    """0.123 → 12 %."""
    return Figure(f"{part * 100:z.0f} %", round(part, 4), "share")


def listed(names: Iterable[str], verb: str = "", *, most: int = 3) -> str:
    """a, b and 4 more; with a verb, as several have it: a is, a, b are."""
    every = list(names)
    shown = ", ".join(every[:most])
    told = f"{shown} and {len(every) - most} more" if len(every) > most else shown
    return f"{told} {agreeing(len(every), verb)}".rstrip()


def shortened(text: str, most: int) -> str:
    """Of at most so many characters; with a mark at its end if it was cut."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def nearest(word: str, known: Iterable[str], *, alike: float = 0.6) -> str:
    """The known name that a mistyped one is most like; empty where none is. alike: 0 for any, 1 for the same."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=alike)), "")


def as_typed(text: str) -> str:
    """Free text as it stands at the end of a command: itself, or in quotes where it would be read as something else."""
    # A word of nothing that can be seen would be none at the end of a line.
    harmless = text == text.strip() and text.isprintable() and _FREE.match(text) and not _LIKE_AN_OPTION.search(text)
    return text if harmless else shlex.quote(text)


def plain_form(name: str) -> str:
    """A name as a keyboard writes it: with straight quotes, hyphens and spaces, without marks around it."""
    text = "".join(_PLAIN.get(each, "-" if unicodedata.category(each) == "Pd" else each) for each in name)
    return " ".join(text.split()).strip("*_~`").rstrip(".,;:!?")


def same_name(called: str, known: Iterable[str]) -> str:
    """The one known name that a keyboard would write as it would write this one; empty for none, or for several."""
    plain = plain_form(called)
    found = {name for name in known if plain_form(name) == plain}
    return found.pop() if len(found) == 1 else ""


def _two(whole: int, large: tuple[int, str], small: tuple[int, str]) -> str:
    first, rest = divmod(whole, large[0])
    second = rest // small[0]
    return f"{first} {large[1]} {second} {small[1]}" if second else f"{first} {large[1]}"
