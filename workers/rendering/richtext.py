"""Rich text, for the places that take no mrkdwn: a cell of a table, and what a task says of itself.

Nothing in it is parsed by Slack: text from outside is shown as it is, and can mention nobody
(https://docs.slack.dev/reference/block-kit/blocks/rich-text-block).
"""

from __future__ import annotations

from typing import Any

from workers.redaction import UNSEEN


def rich(*elements: dict[str, Any]) -> dict[str, Any]:
    """A rich_text of one line."""
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def said(text: str, *, bold: bool = False) -> dict[str, Any]:
    """Words. text: not empty."""
    return {"type": "text", "text": text.translate(UNSEEN), **({"style": {"bold": True}} if bold else {})}


def leads(text: str, url: str) -> dict[str, Any]:
    """Words that lead somewhere."""
    return {"type": "link", "text": text.translate(UNSEEN), "url": url}


def emoji(name: str) -> dict[str, Any]:
    """A sign. name: without colons."""
    return {"type": "emoji", "name": name}


def words(block: dict[str, Any]) -> str:
    """What a rich_text says, as text: a link with its address, a sign by its name."""
    return "".join(_word(each) for part in block.get("elements", ()) for each in part.get("elements", ()))


def _word(element: dict[str, Any]) -> str:
    match element["type"]:
        case "link":
            text, url = element.get("text") or element["url"], element["url"]
            return text if text == url else f"{text} ({url})"
        case "emoji":
            return f":{element['name']}:"
        case _:
            return str(element.get("text", ""))
