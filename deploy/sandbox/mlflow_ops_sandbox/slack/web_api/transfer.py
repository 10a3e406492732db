"""Addresses without a method name: uploads, downloads, and the answers to a response_url."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, web

from mlflow_ops_sandbox.slack.delivery.responses import answer
from mlflow_ops_sandbox.slack.disturbed import served
from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.web_api.dispatch import arguments, token_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mlflow_ops_sandbox.slack.state.installation import Installation


_CHUNK = 1024 * 1024
_INLINE = {"image/png", "image/jpeg", "image/gif", "image/webp"}


def routes(slack: Installation) -> list[web.RouteDef]:
    """Return the routes for files and response URLs."""

    async def upload(request: web.Request) -> web.StreamResponse:
        return await served(slack, request, "files.upload", _upload)

    async def respond(request: web.Request) -> web.StreamResponse:
        return await served(slack, request, "response_url", _respond)

    async def private(request: web.Request) -> web.StreamResponse:
        return _private(slack, request)

    async def shown(request: web.Request) -> web.StreamResponse:
        return _download(slack, request.match_info["file"], download="download" in request.query)

    return [
        web.post("/upload/v1/{key}/{file}", upload),
        web.post("/commands/{team}/{number}/{key}", respond),
        web.post("/actions/{team}/{number}/{key}", respond),
        web.get("/files-pri/{team_file}/{name}", private),
        web.get("/sandbox/files/{file}/{name}", shown),
    ]


async def _upload(slack: Installation, request: web.Request) -> web.StreamResponse:
    file = slack.store.file(request.match_info["file"])
    expected = file.get("pending", "") if file else ""
    if not file or not hmac.compare_digest(expected, request.match_info["key"]) or not expected:
        return web.Response(status=404, text="not found")
    path = slack.store.files_directory / file["id"]
    if path.exists():
        return web.Response(status=409, text="already uploaded")
    partial = path.with_suffix(".partial")
    size = await _write(partial, _body(request), file["size"])
    if size > file["size"]:
        partial.unlink()
        return web.Response(status=413, text="larger than announced")
    partial.replace(path)
    return web.Response(text=f"OK - {size}")


async def _write(path: Path, chunks: AsyncIterator[bytes], most: int) -> int:
    size = 0
    with path.open("wb") as opened:
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                break
            opened.write(chunk)
    return size


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    if not request.content_type.startswith("multipart/"):
        async for chunk in request.content.iter_chunked(_CHUNK):
            yield chunk
        return
    parts = await request.multipart()
    async for part in parts:
        if isinstance(part, BodyPartReader) and part.filename:
            while chunk := await part.read_chunk(_CHUNK):
                yield chunk
            return


def _private(slack: Installation, request: web.Request) -> web.StreamResponse:
    """Serve a file to the app, which must show its token; a browser would be sent to the login page."""
    if token_of(request, dict(request.query)) != slack.workspace.tokens.bot:
        return web.Response(status=302, headers={"Location": "/"})
    file_id = request.match_info["team_file"].rpartition("-")[2]
    return _download(slack, file_id, download="download" in request.query)


def _download(slack: Installation, file_id: str, *, download: bool) -> web.StreamResponse:
    file = slack.store.file(file_id)
    if file is None or "pending" in file:
        return web.Response(status=404, text="no such file")
    inline = file["mimetype"] in _INLINE and not download
    name = "".join(c if c.isalnum() or c in "._- " else "_" for c in file["name"])
    return web.FileResponse(
        slack.store.files_directory / file_id,
        headers={
            "Content-Type": file["mimetype"] if inline else "application/octet-stream",
            "Content-Disposition": f'{"inline" if inline else "attachment"}; filename="{name}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        },
    )


async def _respond(slack: Installation, request: web.Request) -> web.StreamResponse:
    key = f"{request.match_info['number']}/{request.match_info['key']}"
    try:
        body: Json = await arguments(request)
        if isinstance(body.get("payload"), str):
            raise SlackError("invalid_payload")  # noqa: TRY301 - one way out
        origin = slack.response_urls.use(key)
        answer(slack, origin, body)
    except SlackError as error:
        gone = error.error in ("invalid_url", "expired_url", "used_url")
        return web.json_response(error.body(), status=404 if gone else 400)
    return web.Response(text="ok")
