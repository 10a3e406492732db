"""files.*: the upload in three steps that replaced files.upload, and what becomes of the bytes.

The address to upload to takes raw bytes or a form, without a token, once. A file is shared only when
the upload is completed, which can be done once, and the message with it comes a while after the answer: other messages
may stand before it, and who looks for it at once need not find it.
"""

from __future__ import annotations

import mimetypes
import secrets
from pathlib import PurePath
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.blocks import content
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.state import messages
from mlflow_ops_sandbox.slack.web_api.call import Call, method

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.state.installation import Installation

MOST = 1_000_000_000
MOST_OF_SNIPPET = 1_000_000
ALT_TEXT = 1000
CHANNELS = 100
_TEXTUAL = {"application/json", "application/x-yaml", "application/yaml", "application/xml"}
# What the machine's own table of types may not know; a preview should not depend on it.
_TYPES = {
    ".csv": "text/csv",
    ".log": "text/plain",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".json": "application/json",
    ".jsonl": "text/plain",
    ".sql": "text/plain",
    ".diff": "text/plain",
    ".patch": "text/plain",
}
PREVIEW = 4000


@method("files.getUploadURLExternal", tier="4", scope="files:write")
def upload_url(call: Call) -> Json:
    """Return where to send the bytes of a file, and the id that it will have."""
    name, length = call.text("filename"), call.number("length", -1)
    if length < 1:
        raise SlackError("missing_argument")
    if length > MOST:
        raise SlackError("file_upload_size_restricted")
    if call.optional("snippet_type") and length > MOST_OF_SNIPPET:
        raise SlackError("snippet_too_large")
    if len(call.optional("alt_txt") or "") > ALT_TEXT:
        raise SlackError("alt_txt_too_large")
    file_id = "F" + secrets.token_hex(5).upper()
    key = secrets.token_urlsafe(24)
    suffix = PurePath(name).suffix.lower()
    mimetype = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    call.slack.store.put_file(
        {
            "id": file_id,
            "name": PurePath(name).name,
            "size": length,
            "mimetype": mimetype,
            "mode": "snippet" if _textual(mimetype, call.optional("snippet_type")) else "hosted",
            "pending": key,
            "alt_txt": call.optional("alt_txt") or "",
        }
    )
    return {"upload_url": f"{call.slack.base_url}/upload/v1/{key}/{file_id}", "file_id": file_id}


@method("files.completeUploadExternal", tier="4", scope="files:write")
def complete(call: Call) -> Json:
    """Make uploaded files visible: in a channel or thread, or for the bot alone."""
    given = call.json("files")
    if not isinstance(given, list) or not given:
        raise InvalidArgumentsError("missing required field: files")
    where = [name for name in (call.optional("channel_id") or call.optional("channels") or "").split(",") if name]
    if len(where) > CHANNELS:
        raise SlackError("channels_limit_exceeded")
    channels = [call.slack.find_channel(name.strip()) for name in where]
    for channel in channels:
        if call.slack.workspace.bot.user_id not in call.slack.members(channel):
            raise SlackError("not_in_channel")
    comment = call.optional("initial_comment")
    said = content.read({"text": comment, "blocks": None if comment else call.json("blocks")})
    thread_ts = call.optional("thread_ts")
    if thread_ts:
        for channel in channels:
            messages.thread_root(call.slack, channel, thread_ts)
    files = [_completed(call, item) for item in _uploaded(call, given)]
    if channels:
        call.slack.spawn(_share(call.slack, files, channels, said, thread_ts))
    return {"files": [described(call, file["id"]) for file in files]}


async def _share(
    slack: Installation, files: list[Json], channels: list[str], said: content.Content, thread_ts: str | None
) -> None:
    await slack.clock.sleep(slack.timings.share)
    shares: dict[str, list[Json]] = {}
    for channel in channels:
        author = messages.authored_by_bot(slack)
        message = messages.post(slack, channel, author, said, thread_ts=thread_ts, files=files)
        shares[channel] = [{"ts": message["ts"], "thread_ts": thread_ts}]
    for file in files:
        slack.store.put_file({**file, "channels": channels, "shares": {"public": shares}})


def described(call: Call, file_id: str) -> Json:
    """Return what Slack tells about a file."""
    file = call.slack.store.file(file_id)
    if file is None or "pending" in file:
        raise SlackError("file_not_found")
    return file


def _uploaded(call: Call, given: list[object]) -> list[tuple[Json, Json]]:
    """Return what is known of each file and what is asked for it; a ticket that was used is none any more."""
    found = []
    for item in given:
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            raise InvalidArgumentsError("files must be an array of objects with an id")
        file = call.slack.store.file(item["id"])
        if file is None or "pending" not in file or not (call.slack.store.files_directory / file["id"]).exists():
            raise SlackError("file_not_found")
        found.append((file, item))
    return found


def _completed(call: Call, uploaded: tuple[Json, Json]) -> Json:
    file, item = uploaded
    path = call.slack.store.files_directory / file["id"]
    file.pop("pending", None)
    team, base = call.slack.workspace.team.id, call.slack.base_url
    address = f"{base}/files-pri/{team}-{file['id']}/{file['name']}"
    file |= {
        "created": int(call.slack.clock()),
        "timestamp": int(call.slack.clock()),
        "title": item.get("title") or file["name"],
        "size": path.stat().st_size,
        "filetype": PurePath(file["name"]).suffix.removeprefix(".") or "text",
        "user": call.slack.workspace.bot.user_id,
        "is_external": False,
        "is_public": True,
        "url_private": address,
        "url_private_download": f"{address}?download=1",
        "permalink": f"{base}/sandbox/files/{file['id']}/{file['name']}",
        "channels": [],
    }
    if file["mode"] == "snippet":
        with path.open("rb") as opened:
            head = opened.read(PREVIEW).decode("utf-8", "replace")
        file["preview"] = head
        file["preview_is_truncated"] = file["size"] > PREVIEW
    call.slack.store.put_file(file)
    return file


def _textual(mimetype: str, snippet_type: str | None) -> bool:
    return bool(snippet_type) or mimetype.startswith("text/") or mimetype in _TEXTUAL
