"""What a message says, checked as Slack checks it: text, blocks, attachments, metadata.

`None` in a field means "not given", which an update understands as "leave as it is".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_ops_sandbox.slack.blocks import blocks
from mlflow_ops_sandbox.slack.blocks.tables import TABLES
from mlflow_ops_sandbox.slack.blocks.visuals import CHARTS_IN_MESSAGE
from mlflow_ops_sandbox.slack.errors import Json, SlackError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

TEXT = 40_000
# What chat.update takes, in bytes of UTF-8; beyond it is refused, whereas a post beyond TEXT is cut.
UPDATED_TEXT = 4_000
ATTACHMENTS = 100
METADATA = 16_000


@dataclass(frozen=True, slots=True)
class Content:
    """The checked parts of a message."""

    text: str | None
    blocks: list[Json] | None
    attachments: list[Json] | None
    metadata: Json | None
    link_names: bool = False

    def empty(self) -> bool:
        """Say whether there is nothing to show."""
        return not (self.text or self.blocks or self.attachments)


def read(
    args: Mapping[str, Any], *, updating: bool = False, weighed: bool = False, lacking: Container[str] = ()
) -> Content:
    """Check the content given in a call's arguments; raise SlackError by Slack's name.

    `updating`: a changed text may be much shorter than a new one. `weighed`: all blocks together have a limit too,
    as in the chat methods, though not in answers to a response_url. `lacking`: blocks that the workspace does not have.
    """
    text = args.get("text")
    if text is not None and not isinstance(text, str):
        text = str(text)
    given = _parsed(args, "blocks", "invalid_blocks_format")
    markdown = args.get("markdown_text")
    if markdown:
        if text or given:
            raise SlackError("markdown_text_conflict")
        text, given = str(markdown), [{"type": "markdown", "text": str(markdown)}]
        if len(text) > blocks.MARKDOWN_TEXT:
            raise SlackError("msg_too_long")
    if text is not None and updating and len(text.encode()) > UPDATED_TEXT:
        raise SlackError("msg_too_long")
    attachments = _parsed(args, "attachments", "invalid_attachments")
    if attachments is not None and not isinstance(attachments, list):
        raise SlackError("invalid_attachments")
    if attachments and len(attachments) > ATTACHMENTS:
        raise SlackError("too_many_attachments")
    stored = None if given is None else _blocks(given, lacking)
    attached = None if attachments is None else [_attachment(item) for item in attachments]
    _counted(stored, attached)
    if weighed and blocks.weight(stored) > blocks.MESSAGE_WEIGHT:
        raise SlackError("msg_blocks_too_long")
    return Content(
        text=None if text is None else text[:TEXT],
        blocks=stored,
        attachments=attached,
        metadata=_metadata(_parsed(args, "metadata", "invalid_metadata_format")),
        link_names=args.get("parse") == "full" or str(args.get("link_names")) in ("1", "true", "True"),
    )


def _parsed(args: Mapping[str, Any], name: str, error: str) -> Any:
    value = args.get(name)
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        return json.loads(value)
    except ValueError as cause:
        raise SlackError(error) from cause


def _blocks(given: object, lacking: Container[str] = ()) -> list[Json]:
    if not isinstance(given, list):
        raise SlackError("invalid_blocks_format")
    stored, wrong = blocks.checked(given, lacking=lacking)
    if wrong:
        plain = [sentence.removeprefix("[ERROR] ") for sentence in wrong]
        raise SlackError("invalid_blocks", errors=plain, response_metadata={"messages": wrong})
    return stored


def _counted(stored: list[Json] | None, attached: list[Json] | None) -> None:
    """Refuse a second table, and a third chart."""
    every = [*(stored or []), *(block for item in attached or [] for block in item.get("blocks") or [])]
    if sum(block["type"] in TABLES for block in every) > 1:
        messages = ["[ERROR] only_one_table_allowed"]
        raise SlackError("invalid_attachments", response_metadata={"messages": messages})
    if sum(block["type"] == "data_visualization" for block in every) > CHARTS_IN_MESSAGE:
        messages = [f"[ERROR] no more than {CHARTS_IN_MESSAGE} data_visualization blocks allowed"]
        raise SlackError("invalid_blocks", response_metadata={"messages": messages})


def _attachment(item: object) -> Json:
    if not isinstance(item, dict):
        raise SlackError("invalid_attachments")
    return item | {"blocks": _blocks(item["blocks"])} if "blocks" in item else dict(item)


def _metadata(given: object) -> Json | None:
    """Check metadata; an empty object takes a message's metadata away."""
    if given is None:
        return None
    if given == {}:
        return {}
    if not isinstance(given, dict) or not isinstance(given.get("event_type"), str):
        raise SlackError("invalid_metadata_format")
    if not isinstance(given.get("event_payload", {}), dict):
        raise SlackError("invalid_metadata_format")
    if len(json.dumps(given)) > METADATA:
        raise SlackError("metadata_too_large")
    return {"event_type": given["event_type"], "event_payload": given.get("event_payload", {})}
