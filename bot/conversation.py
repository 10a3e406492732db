"""What Slack has of a command: its channel since then, or its thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slack_sdk import WebClient


def messages(client: WebClient, channel: str, thread_ts: str | None, since: float) -> Iterator[dict[str, Any]]:
    """The replies of a thread, or the channel's messages since then (epoch seconds), with their metadata."""
    cursor = ""
    while True:
        if thread_ts:
            page: Any = client.conversations_replies(
                channel=channel, ts=thread_ts, include_all_metadata=True, limit=200, cursor=cursor
            )
        else:
            oldest = str(since - 60)
            page = client.conversations_history(
                channel=channel, oldest=oldest, include_all_metadata=True, limit=200, cursor=cursor
            )
        yield from page["messages"]
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return
