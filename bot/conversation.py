"""What Slack has of a command: its channel since then, or its thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slack_sdk import WebClient

from workers.records.record import Record


def messages(client: WebClient, record: Record, thread_ts: str | None) -> Iterator[dict[str, Any]]:
    """The replies of a thread, or the channel's messages since the record was accepted, with their metadata."""
    cursor = ""
    while True:
        if thread_ts:
            page: Any = client.conversations_replies(
                channel=record.channel, ts=thread_ts, include_all_metadata=True, limit=200, cursor=cursor
            )
        else:
            oldest = str(record.accepted_at - 60)
            page = client.conversations_history(
                channel=record.channel, oldest=oldest, include_all_metadata=True, limit=200, cursor=cursor
            )
        yield from page["messages"]
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return
