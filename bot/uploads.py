"""A file in a thread or a channel: reserved, sent, completed; the last of these once
(https://docs.slack.dev/messaging/working-with-files).

The trap: Slack shares a completed file when it comes to it, so right after an attempt without a clear answer the file
need not be seen yet, though it is on its way. Completing it once more then says `file_not_found`: the ticket was used.
"""

from __future__ import annotations

import base64
import urllib.request
from typing import Any, Final

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from workers.records.outbox import Entry, Outbox
from workers.records.record import Record

_COMPLETING: Final = "completing "
_USED: Final = "file_not_found"


def upload(client: WebClient, outbox: Outbox, entry: Entry, record: Record, thread_ts: str | None) -> None:
    """Upload a message's file into a thread, or into the channel. Raises SlackApiError, OSError."""
    known = outbox.noted(entry) or ""
    before = known.startswith(_COMPLETING)
    file_id = known.removeprefix(_COMPLETING) or _sent(client, outbox, entry)
    outbox.note(entry, _COMPLETING + file_id)
    try:
        client.files_completeUploadExternal(
            files=[{"id": file_id, "title": entry.filename}],
            channel_id=record.channel,
            thread_ts=thread_ts,
            initial_comment=entry.text,
        )
    except SlackApiError as error:
        if not before or error.response.get("error") != _USED:
            raise


def _sent(client: WebClient, outbox: Outbox, entry: Entry) -> str:
    """Reserve a place for it and send its bytes there; the id that it has."""
    content = base64.b64decode(entry.content) if entry.alt else entry.content.encode()
    reserved: Any = client.files_getUploadURLExternal(
        filename=entry.filename, length=len(content), alt_txt=entry.alt or None
    )
    request = urllib.request.Request(  # noqa: S310 - the address is Slack's
        reserved["upload_url"], data=content, headers={"Content-Type": "application/octet-stream"}
    )
    with urllib.request.urlopen(request, timeout=client.timeout):  # noqa: S310 - as above
        pass
    file_id = str(reserved["file_id"])
    outbox.note(entry, file_id)
    return file_id
