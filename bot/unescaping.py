"""What Slack made of what was typed after a slash command, turned back into what was typed.

With `should_escape` in the app's manifest Slack delivers addresses as <https://…|label>, people as <@U…|name>, channels
as <#C…|name>, groups as <!subteam^S…|name>, and &, <, > as entities
(https://docs.slack.dev/interactivity/implementing-slash-commands, https://docs.slack.dev/messaging/formatting-message-text).
Nothing else reads the text before this has. What is typed into a modal or a terminal is never escaped, and does not
come here.

The traps: all is turned back in one pass, or &amp;lt; would become <; and a lone < is a less-than sign, so only what
has the whole shape of one of Slack's links is one.
"""

from __future__ import annotations

import re
from typing import Final

_ESCAPED: Final = re.compile(
    r"""
    <(?P<address>[A-Za-z][A-Za-z0-9+.-]*:[^\s<>|]+)(?:\|(?P<label>[^<>]*))?>
    | (?P<option>(?<!\S)[-\u2010-\u2015\u2212]+[\w-]+[=\s]\s*)? <@(?P<user>[UW][A-Z0-9]+)(?:\|(?P<name>[^<>|]*))?>
    | <\#(?P<channel>[CDG][A-Z0-9]+)(?:\|(?P<called>[^<>|]*))?>
    | <!subteam\^(?P<group>S[A-Z0-9]+)(?:\|@?(?P<handle>[^<>|]*))?>
    | <!(?P<all>here|channel|everyone)(?:\|[^<>|]*)?>
    | <!date\^[^<>|]*\|(?P<date>[^<>|]*)>
    | &(?P<entity>amp|lt|gt);
    """,
    re.VERBOSE,
)
_ENTITIES: Final = {"amp": "&", "lt": "<", "gt": ">"}
_ADDRESSED: Final = ("mailto:", "tel:")
"""What Slack puts before what was typed without it."""


def unescaped(text: str) -> str:
    """The text as it was typed. A person is their id where an option asks for one (--by U012AB3CD), else @name."""
    return _ESCAPED.sub(_typed, text)


def _typed(found: re.Match[str]) -> str:
    part = found.groupdict()
    if part["entity"]:
        return _ENTITIES[part["entity"]]
    if part["address"]:
        return _address(part["address"], part["label"] or "")
    if part["user"]:
        option = part["option"] or ""
        return f"{option}{part['user']}" if option else f"@{part['name'] or part['user']}"
    if part["channel"]:
        return f"#{part['called'] or part['channel']}"
    if part["group"]:
        return f"@{part['handle'] or part['group']}"
    return f"@{part['all']}" if part["all"] else str(part["date"])


def _address(address: str, label: str) -> str:
    plain = re.sub("&(amp|lt|gt);", lambda found: _ENTITIES[found[1]], address)
    for scheme in _ADDRESSED:
        if plain.startswith(scheme) and label:
            return plain.removeprefix(scheme)
    return plain
