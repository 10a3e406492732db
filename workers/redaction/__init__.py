"""One filter between what we know and what others may read: logs, Slack, exceptions and Redis all pass through it.

Two kinds of secret: those that this process was given (`remember`), wherever they turn up; and what looks like one in
text from outside, by its shape (`shapes`) or by its name (`names`). Names are judged in log lines and manifests only:
in our own sentences a "TLS secret: mlflow-tls" is a name and not a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from workers.redaction.names import names_a_secret, without_named
from workers.redaction.settings import hides, open_variable
from workers.redaction.shapes import MASK, without_shapes

__all__ = [
    "MASK",
    "SHORTEST",
    "UNSEEN",
    "cleaned",
    "hides",
    "names_a_secret",
    "one_line",
    "open_variable",
    "redacted",
    "remember",
    "without_secrets",
]

SHORTEST: Final = 6
"""What is shorter is no secret: it would blot out ordinary words."""

_COLOURS: Final = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")
UNSEEN: Final = dict.fromkeys(
    [*range(9), *range(11, 32), 0x7F, 0x200B, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
"""For str.translate: control characters, save for tab and line feed, and marks that turn the direction of what
follows."""

_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def remember(secrets: Iterable[str]) -> None:
    """Blot these out from now on, in this process; also as they stand in an address."""
    global _pattern  # noqa: PLW0603 - one filter for the process
    new = {form for each in secrets if len(each) >= SHORTEST for form in (each, quote(each, safe=""))} - _known
    if not new:
        return
    _known.update(new)
    # The longest first: one secret may begin with another.
    longest_first = sorted(_known, key=len, reverse=True)
    _pattern = re.compile("|".join(re.escape(secret) for secret in longest_first))


def without_secrets(text: str) -> str:
    """The text without the secrets that we know and what has a secret's shape."""
    if _pattern is not None:
        text = _pattern.sub(MASK, text)
    return without_shapes(text)


def redacted(text: str) -> str:
    """Also without what is called a password, a token or a secret: for log lines from outside."""
    return without_named(without_secrets(text))


def one_line(text: str) -> str:
    """A program's line as others may read it: without line breaks, colours, control characters and secrets."""
    plain = _COLOURS.sub("", text).replace("\r", " ").translate(UNSEEN)
    return redacted(" ".join(plain.splitlines()).rstrip())


def cleaned(value: Any) -> Any:
    """JSON data with every text in it passed through `without_secrets`; keys stay."""
    match value:
        case str():
            return without_secrets(value)
        case list() | tuple():
            return [cleaned(each) for each in value]
        case dict():
            return {key: cleaned(each) for key, each in value.items()}
    return value
