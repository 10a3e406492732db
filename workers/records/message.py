"""A message for Slack as data, and as it waits in the outbox. What stands in it is `workers.rendering`'s."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from workers.redaction import cleaned

Kind = Literal["root", "edit", "reply", "broadcast", "file", "picture", "direct", "pin", "unpin"]
"""root: the first message; edit: its new content; reply and file: in its thread; broadcast: there and in the
channel, where everybody is to see it; picture: a file below it, in the
channel; direct: to one person alone; pin and unpin: the first message.
"""


@dataclass(frozen=True)
class Message:
    """What one call to Slack posts: `text` is what notifications and screen readers get.

    With a `filename` it is a file with that `content`, and `text` stands beside it; with `alt`, a picture in base64.
    in_sight: it stands in the channel.
    """

    text: str
    blocks: list[dict[str, Any]]
    filename: str = ""
    content: str = ""
    alt: str = ""
    in_sight: bool = False


class Draft(NamedTuple):
    """A message that nobody has sent yet. body: JSON, without any secret that we know of."""

    kind: Kind
    body: str


def draft(kind: Kind, message: Message, **more: Any) -> Draft:
    """A message as it is kept. more: how it is delivered (see workers.records.outbox.Entry): to, form, apart."""
    body = {"text": message.text, "blocks": message.blocks}
    if message.filename:
        body |= {"filename": message.filename, "content": message.content}
    body = cleaned(body) | more
    if message.alt:
        # A picture's bytes are no text: what looks like a secret in them is none.
        body |= {"content": message.content, "alt": cleaned(message.alt)}
    return Draft(kind, json.dumps(body, ensure_ascii=False))
