"""A file in a thread or a channel: reserved, sent, completed; the last of these once
(https://docs.slack.dev/messaging/working-with-files).
"""

from __future__ import annotations

import base64
import urllib.request
from typing import Any

from slack_sdk import WebClient

from bot import conversation
from workers.records.outbox import Entry, Outbox
from workers.records.record import Record


def upload(client: WebClient, outbox: Outbox, entry: Entry, record: Record, thread_ts: str | None) -> None:
    """Upload a message's file into a thread, or into the channel. Raises SlackApiError, OSError.

    Before it is completed its id is noted; where that attempt had no clear answer, the thread is searched for the id.
    """
    content = base64.b64decode(entry.content) if entry.alt else entry.content.encode()
    known = outbox.noted(entry)
    if known and _is_there(client, record, known, thread_ts):
        return
    if known is None:
        reserved: Any = client.files_getUploadURLExternal(
            filename=entry.filename, length=len(content), alt_txt=entry.alt or None
        )
        request = urllib.request.Request(  # noqa: S310 - the address is Slack's
            reserved["upload_url"], data=content, headers={"Content-Type": "application/octet-stream"}
        )
        with urllib.request.urlopen(request, timeout=client.timeout):  # noqa: S310 - as above
            pass
        known = str(reserved["file_id"])
        outbox.note(entry, known)
    client.files_completeUploadExternal(
        files=[{"id": known, "title": entry.filename}],
        channel_id=record.channel,
        thread_ts=thread_ts,
        initial_comment=entry.text,
    )


def _is_there(client: WebClient, record: Record, file_id: str, thread_ts: str | None) -> bool:
    return any(
        file.get("id") == file_id
        for message in conversation.messages(client, record, thread_ts)
        for file in message.get("files") or ()
    )
