"""Whom a message would have notified.

A bot that echoes what it read from elsewhere can make the whole company's phones ring. Tests ask
`GET /sandbox/pings` and assert that nothing of the kind happened; therefore everything that Slack could
take for a mention counts, in `text`, in mrkdwn, in markdown and in rich text, posted or edited in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlflow_ops_sandbox.slack.errors import Json

_SPECIAL = re.compile(r"<!(channel|here|everyone)(?:\|[^>]*)?>")
_USER = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_GROUP = re.compile(r"<!subteam\^(S[A-Z0-9]+)(?:\|[^>]*)?>")
_LINKED_SPECIAL = re.compile(r"(?<![\w@])@(channel|here|everyone)\b")

Ping = tuple[str, str]


def in_text(value: str, *, link_names: bool = False) -> Iterator[Ping]:
    """Yield (kind, target) for each mention in a mrkdwn text."""
    for match in _SPECIAL.finditer(value):
        yield match[1], match[1]
    for match in _USER.finditer(value):
        yield "user", match[1]
    for match in _GROUP.finditer(value):
        yield "usergroup", match[1]
    if link_names:
        for match in _LINKED_SPECIAL.finditer(value):
            yield match[1], match[1]


def in_message(message: Json, *, link_names: bool = False) -> list[Ping]:
    """Return each mention in a message once: its text, its blocks and its attachments."""
    found = list(in_text(str(message.get("text") or ""), link_names=link_names))
    for part in (message.get("blocks"), message.get("attachments")):
        found += _in_part(part)
    return list(dict.fromkeys(found))


def _in_part(part: object) -> Iterator[Ping]:
    if isinstance(part, list):
        for item in part:
            yield from _in_part(item)
    elif isinstance(part, dict):
        yield from _in_object(part)
        for value in part.values():
            yield from _in_part(value)


_REFERENCES = {"broadcast": "range", "user": "user_id", "usergroup": "usergroup_id"}


def _in_object(part: Json) -> Iterator[Ping]:
    kind = part.get("type")
    if kind in _REFERENCES and _REFERENCES[kind] in part:
        target = str(part[_REFERENCES[kind]])
        yield (target if kind == "broadcast" else kind), target
    elif kind in ("mrkdwn", "markdown", None):
        for name in ("text", "pretext", "fallback", "value"):
            if isinstance(part.get(name), str):
                yield from in_text(part[name])
