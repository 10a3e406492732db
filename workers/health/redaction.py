"""Log lines and error texts may hold what must not reach a channel: passwords in addresses, tokens, keys."""

from __future__ import annotations

import re
from typing import Final

_ADDRESS: Final = re.compile(r"://[^\s/@:]*:[^\s/]*@")
_NAMED: Final = re.compile(
    r"""(?ix)
    ( (?:(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|credential)\w*|authorization)
      ["']? \s* [=:] \s* (?:(?:bearer|basic)\s+)? ["']? )
    [^\s"',;&}]+
    """
)
_KNOWN: Final = re.compile(r"\b(?:xox[abpsr]-[\w-]+|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.[\w-]+\.[\w-]*|gh[pousr]_\w{20,})")


def redacted(text: str) -> str:
    """The text with what looks like a secret blotted out."""
    text = _ADDRESS.sub("://***@", text)
    text = _NAMED.sub(r"\1***", text)
    return _KNOWN.sub("***", text)
