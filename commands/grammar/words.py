"""What was typed, as words, each with where it stands in the line: so that free text can be taken as it was typed.

Clients change what people type: a phone makes “ ” of quotes and one dash of two hyphens, a page's copy bears spaces
that break no line, an editor's marks for bold and code come along. Outside of quotes all of that is read as what was
meant; inside, nothing is changed. The trap: an apostrophe is a quote only where a word begins, and ends one only where
a word ends, so that doesn't and o'brien are words like others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from workers.redaction import UNSEEN

_CLOSED_BY: Final = {
    '"': ('"', "”“"),
    "'": ("'", "’‘"),  # noqa: RUF001 - what phones type
    "`": ("`",),
    "“": ("”", "“", '"'),
    "”": ("”", "“", '"'),
    "„": ("“”", '"'),
    "‟": ("”", "‟", '"'),
    "«": ("»", '"'),
    "»": ("«", "»", '"'),
    "‹": ("›", "'"),  # noqa: RUF001
    "›": ("‹", "›", "'"),  # noqa: RUF001
    "‘": ("’", "‘", "'"),  # noqa: RUF001
    "’": ("’", "‘", "'"),  # noqa: RUF001
    "‚": ("‘’", "'"),  # noqa: RUF001
    "‛": ("’", "‛", "'"),  # noqa: RUF001
    "「": ("」",),
    "『": ("』",),
    "〝": ("〞〟",),
    "❝": ("❞",),
    "＂": ("＂",),  # noqa: RUF001
    "＇": ("＇",),  # noqa: RUF001
}
"""By what opens a quote: what closes it, the likeliest first. English, German, French, Danish, Swedish, Japanese …"""
QUOTES: Final = "".join(_CLOSED_BY)
_MAY_OPEN_A_WORD: Final = "’‘‛＇`"  # noqa: RUF001 - an elision, a mark of code
_ENDS: Final = ".,;:!?…，、。"  # noqa: RUF001
"""Punctuation that may follow a word, or a quote."""
_COMMAS: Final = re.compile("[,，、]")  # noqa: RUF001
_MARKS: Final = "*_~`"
DASHES: Final = (
    "\u2212-\u058a\u05be\u1400\u1806\u2010\u2011\u2012\u2013\u2014\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u301c\u3030\u30a0"
    "\ufe31\ufe32\ufe58\ufe63\uff0d\u2e5d"
)
"""The minus sign, and all that Unicode calls a dash; to look for them takes longer than to start."""
_OPTION: Final = re.compile(f"([{re.escape(DASHES)}]+)(?=[^\\W\\d_])")
_BELOW_ZERO: Final = re.compile(f"[{re.escape(DASHES)}](?=\\d)")
_ANY_DASH: Final = re.compile(f"[{re.escape(DASHES)}]")
_UNSEEN: Final = UNSEEN | dict.fromkeys([0xAD, 0x200E, 0x200F, 0x2060, 0x180E])
"""Marks without a width, which come along with what is copied."""
_WRAPPED: Final = re.compile(r"(```|[*_~`])(.+)\1", re.DOTALL)


@dataclass(frozen=True)
class Word:
    """A word as it was meant. start, end: where it stands in the line. quoted: it begins with a quote, so it is no
    option and no help. whole: the quotes are around all of it. unclosed: what would close a quote that nothing closes.
    """

    text: str
    start: int
    end: int
    quoted: bool = False
    whole: bool = False
    unclosed: str = ""

    @property
    def option(self) -> str:
        """The option's name, in the case in which options are; empty where it is none."""
        is_one = self.text.startswith("-") and self.text.strip("-") and not self.quoted
        return self.text.partition("=")[0].lower() if is_one else ""


def clean(text: str) -> str:
    """The line without what stands around it: spaces, and marks of bold, italic or code around all of it."""
    line = text.strip()
    while (found := _WRAPPED.fullmatch(line)) and found[1] not in found[2]:
        line = found[2].strip()
    return line


def split(line: str) -> list[Word]:
    """The words of a line. A quote that nothing closes is a character like others."""
    found = []
    at = 0
    while at < len(line):
        if line[at].isspace():
            at += 1
        else:
            word = _word(line, at)
            at = word.end
            if word.text or word.quoted:
                found.append(word)
    return found


def plain(text: str) -> str:
    """A word that is looked up among known ones: without marks, case, and the punctuation of a sentence."""
    bare = text.translate(_UNSEEN).strip(_MARKS).rstrip(_ENDS).strip(_MARKS)
    return _ANY_DASH.sub("-", bare).casefold()


def asks(text: str) -> bool:
    """Whether a word ends with a question mark."""
    return text.strip(_MARKS).endswith("?")


def separated(text: str) -> list[str]:
    """Several names that have commas between them."""
    return [each for each in _COMMAS.split(text) if each]


def _word(line: str, start: int) -> Word:
    said: list[str] = []
    at, quoted, opens, bare, unclosed = start, False, True, False, ""
    while at < len(line) and not line[at].isspace():
        character = line[at]
        closing = _closing(line, at) if opens and character in _CLOSED_BY else None
        if closing is not None:
            said.append(line[at + 1 : closing])
            quoted = quoted or (at == start and character != "`")
            at = closing + 1
            while at < len(line) and line[at] in _ENDS:
                at += 1
            continue
        if opens and character in _CLOSED_BY and character not in _MAY_OPEN_A_WORD:
            unclosed = unclosed or _CLOSED_BY[character][0][0]
        bare = True
        said.append(character.translate(_UNSEEN))
        opens = character == "="
        at += 1
    text = "".join(said)
    return Word(text if quoted else _dashed(text), start, at, quoted, whole=quoted and not bare, unclosed=unclosed)


def _closing(line: str, start: int) -> int | None:
    """Where the quote that is opened here is closed: where its word ends, or a quote of the other kind follows."""
    for closers in _CLOSED_BY[line[start]]:
        found = _closers(closers).search(line, start + 1)
        if found is not None:
            return found.start()
    return None


@cache
def _closers(closers: str) -> re.Pattern[str]:
    return re.compile(f"[{closers}](?=[\"']|[{re.escape(_ENDS)}]*(?:\\s|\\Z))")


def _dashed(text: str) -> str:
    """An option with hyphens, whatever dashes it was typed with."""
    found = _OPTION.match(text)
    if found is None:
        return _BELOW_ZERO.sub("-", text, count=1) if _BELOW_ZERO.match(text) else text
    name = text[found.end() :]
    return f"-{name}" if found[1] == "-" and len(name) == 1 else f"--{name}"
