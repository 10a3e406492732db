"""What is a secret by its name: the value after `password=`, `"api_key":`, `Authorization:`, `--token`.

For text from outside (logs, manifests, tracebacks). In our own sentences a "TLS secret: mlflow-tls" is a name and not a
secret. What is called so and only tells of one (`secretName`, `token_type`, `max_tokens=256`, `password: null`) stays.

Every line of every log passes here: names are looked for only where a line has a piece of one, and each is read once.
"""

from __future__ import annotations

import re
from typing import Final

from workers.redaction.shapes import MASK

_ANYWHERE: Final = re.compile(
    r"passw(?:or)?d|passphrase|secret(?!ar)|credential|authorization|cookie|"
    r"(?:api|access|private|signing|account)key|"
    r"(?:api|access|private|signing|encryption|account|master|client|license|ssh|webhook|storage|session|auth)"
    r"[ _.-]keys?|"
    r"connection[ _.-]?string|basic[_.-]?auth|webhook[_.-]?url"
)
"""Anywhere in a name."""
_PARTS: Final = frozenset(["pass", "pwd", "passwd", "token", "tokens", "jwt", "dsn", "creds", "cred"])
"""As a part of a name."""
_LASTS: Final = frozenset(["pat", "pw", "sas"])
"""As the last part of one."""
_SEVERAL: Final = frozenset(["credentials", "secrets", "tokens", "passwords", "cookies"])
"""Names of loggers and headlines, too: a word after one is no secret."""
_FIGURES: Final = frozenset(["token", "tokens", "cookie", "cookies", "pass", "pw", "session"])
"""What is counted, too: a number there is none."""
_LAST_TELLS: Final = re.compile(
    r"age|class|count|dir|disabled|enabled|error|errors|exists|expiration|expire|expires|expiry|file|files|"
    r"format|header|hint|id|ids|index|invalid|keyref|kind|len|length|lifetime|limit|limits|manager|max|"
    r"method|min|missing|mount|mounts|name|names|path|paths|policy|provider|ref|refresh|refs|required|"
    r"rotation|scope|scopes|size|source|store|total|ttl|type|uri|url|usage|used|valid|version|volume"
)
"""The last part of a name that only tells of a secret."""
_FIRST_TELLS: Final = re.compile(
    r"bos|by|bypass|cached|cls|completion|continuation|eos|generated|input|mask|max|min|n|new|next|num|"
    r"output|pad|page|per|prompt|reasoning|sep|special|total|unk"
)
"""What comes before `token` or `pass` where it is none."""
_WORDS: Final = re.compile(
    r"%s|\{\}|a|an|and|are|authentication|can|could|did|does|empty|false|for|from|has|have|in|invalid|is|"
    r"missing|must|nil|no|none|not|null|of|on|or|required|should|the|to|true|undefined|unset|was|were|with|"
    r"yes"
)
_CODE: Final = re.compile(r"(?:self|cls|os|request|kwargs|args|settings|config)[.\[]\w|[a-z_][\w.]*\($")
"""As a traceback shows the line that failed."""
_FIGURE: Final = re.compile(r"[-+]?\d[\d,._]*(?:ms|s|m|h|d|%)?")

_HEAD: Final = re.compile(
    r"""(?ix)
    (?: (?P<name> (?: (?:api|access|secret|private|auth|signing)\x20 (?=keys?\b) )?+ [\w.-]{1,200}+ )
        (?: (?P<closed> \\*["'] ) \s* (?: => | := | [=:,] ) | \s* (?: => | := | [=:] ) ) \s*+
      | (?P<flag> --?[a-z][\w.-]{1,200}+ ) (?: \s++ | = ) (?!-) )
    """
)
_QUOTED: Final = re.compile(r"""[bru]{0,2}(?P<quote>\\*["'])(?P<held>.*?)(?:(?<!\\)(?P=quote)|$)""", re.DOTALL)
_LINE: Final = re.compile(r"""[^"'\n]+""")
_SCHEME: Final = re.compile(r"(?i)(?P<scheme>bearer|basic|digest|token|negotiate)\s+(?P<held>[^\s\"',;&})\]]+)")
_PLAIN: Final = re.compile(r"""[^\s"',;&})\]<>]+""")
_BEFORE_KEY: Final = re.compile(r"(?:api|access|secret|private|auth|signing) $")
_SPLIT: Final = re.compile(r"[ _.-]+|(?<=[a-z0-9])(?=[A-Z])")
_HINTS: Final = (
    *("pass", "pwd", "secret", "token", "key", "cred", "auth", "cookie", "jwt", "dsn", "webhook", "connection"),
    *("pat=", "pat:", 'pat"', "pat'", "pw=", "pw:", 'pw"', "pw'", "sas=", "sas:", 'sas"', "sas'"),
)
"""Each name of a secret has one of them in it, or at its end."""
_LONGEST: Final = 100
_NAME: Final = re.compile(r"[a-z0-9_.-]*+")
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")


def without_named(text: str) -> str:
    """The text, and *** in place of what is called a secret."""
    low = text.lower()
    if len(low) != len(text):
        # Of a few letters the small one is two characters: places would not be the same.
        low = text
    made, done = [], 0
    for begins in _names(low):
        if begins < done or (head := _HEAD.match(text, begins)) is None or (found := _value(text, head)) is None:
            continue
        made += [text[done : found[0]], MASK]
        done = found[1]
    return "".join([*made, text[done:]]) if made else text


def _names(low: str) -> list[int]:
    """Where names begin that may be a secret's. low: the text in lower case."""
    begin = set()
    for hint in _HINTS:
        at = low.find(hint)
        while at >= 0:
            begins = at
            while begins > at - _LONGEST and begins and low[begins - 1] in _NAME_CHARACTERS:
                begins -= 1
            if hint == "key" and begins == at and (before := _BEFORE_KEY.search(low, max(0, at - 12), at)):
                begins = before.start()
            begin.add(begins)
            # On with the next word: a name is read once, however often it says so.
            at = low.find(hint, _NAME.match(low, at).end())  # type: ignore[union-attr]  # it matches nothing, too
    return sorted(begin)


def names_a_secret(name: str) -> bool:
    """Whether what bears this name (a variable, a key) is a secret."""
    parts = _parts(name)
    last = next((part for part in reversed(parts) if not re.fullmatch(r"v?\d+", part)), "")
    if _LAST_TELLS.fullmatch(last) and not name.lower().endswith(("webhook_url", "webhookurl", "webhook-url")):
        return False
    if _ANYWHERE.search(name.lower()):
        return True
    if last in _LASTS:
        return True
    return any(
        part in _PARTS and (at == 0 or not _FIRST_TELLS.fullmatch(parts[at - 1])) for at, part in enumerate(parts)
    )


def _parts(name: str) -> list[str]:
    return [part.lower() for part in _SPLIT.split(name) if part]


def _value(text: str, head: re.Match[str]) -> tuple[int, int] | None:
    """Where the secret is that a name announces; None where there is none."""
    name = (head["name"] or head["flag"]).strip("-")
    if not names_a_secret(name):
        return None
    begins = head.end()
    quoted = _QUOTED.match(text, begins)
    if head["name"] and head["closed"] and head[0].rstrip().endswith(",") and quoted is None:
        return None
    if quoted is not None:
        begins, ends = quoted.span("held")
        if scheme := _SCHEME.match(text, begins, ends):
            begins = scheme.start("held")
    elif scheme := _SCHEME.match(text, begins):
        begins, ends = scheme.span("held")
    elif "cookie" in name.lower() and (line := _LINE.match(text, begins)):
        ends = line.end()
    elif plain := _PLAIN.match(text, begins):
        ends = plain.end()
    else:
        return None
    return (begins, ends) if _is_one(name, text[begins:ends]) else None


def _is_one(name: str, value: str) -> bool:
    told = value.strip().lower().rstrip(".")
    if not told or told.startswith(MASK) or _WORDS.fullmatch(told) or not any(each.isalnum() for each in told):
        return False
    if told == name.lower() or _CODE.match(value):
        return False
    parts = _parts(name)
    if parts[-1] in _SEVERAL and told.isalpha():
        return False
    counted = set(parts) & _FIGURES
    return not (counted and _FIGURE.fullmatch(told))
