"""GET ?watch=1: a stream of changes, one JSON object a line, until the timeout or until the client goes.

What a selector makes of a change is told as the client sees it: an object that ceases to match is DELETED for this
watch. A version older than the log is answered as the real server does: 200, then one ERROR event with a Status of
code 410.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from aiohttp import web

from mlflow_ops_sandbox.cluster.api.answers import JSON, encode, standard_headers, with_kind
from mlflow_ops_sandbox.cluster.api.negotiation import negotiate
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.requests import Target, is_true
from mlflow_ops_sandbox.cluster.api.status import ApiError, Cause, bad_request, invalid, unknown_error
from mlflow_ops_sandbox.cluster.api.store import Change, Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.apiserver.reading import (
    OBJECT_SHAPES,
    Selection,
    include_of,
    parse_version,
    selection_of,
)
from mlflow_ops_sandbox.cluster.apiserver.tables.rendering import partial_metadata, table_event

BOOKMARK_SECONDS = 60.0
_SHORTEST, _LONGEST = 1800.0, 3600.0


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The parameters of a watch."""

    since: str
    seconds: float
    bookmarks: bool
    initial_events: bool
    shape: str
    include: str


@dataclass(frozen=True, slots=True)
class Watcher:
    """Answers watches."""

    store: Store
    clock: Clock
    closing: asyncio.Event
    """Set when the server stops, so that streams end in order."""

    async def stream(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Answer one watch. Raises ApiError before the stream begins."""
        options = _options(request.query, request.headers.get("Accept", ""))
        selection = selection_of(target, request.query)
        # The one error that a real watch does not make a Status of: where a list answers 400, it answers 500.
        parse_version(options.since, unknown_error)
        answer = web.StreamResponse(headers={**standard_headers(), "Content-Type": JSON})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        first = True
        async for kind, item in self._events(target, selection, options):
            shown = self._shaped(target, kind, item, options, first=first)
            first = first and kind == "ERROR"
            await answer.write(encode({"type": kind, "object": shown}))
        await answer.write_eof()
        return answer

    async def _events(
        self, target: Target, selection: Selection, options: WatchOptions
    ) -> AsyncIterator[tuple[str, Object]]:
        loop = asyncio.get_running_loop()
        end = loop.time() + options.seconds
        revision = parse_version(options.since)
        if options.initial_events or options.since in {"", "0"}:
            revision = self.store.revision
            for item in self.store.all(target.resource, target.namespace):
                if selection.matches(item):
                    yield "ADDED", item
            if options.initial_events:
                yield "BOOKMARK", _bookmark(target, revision, initial=True)
        next_bookmark = loop.time() + BOOKMARK_SECONDS if options.bookmarks else end
        while not self.closing.is_set():
            try:
                changes = list(self.store.changes_after(revision))
            except ApiError as problem:
                yield "ERROR", problem.to_object()
                return
            for event, item in _seen_of(changes, target, selection):
                yield event, item
            revision = max(changes[-1].revision if changes else revision, self.store.compacted)
            now = loop.time()
            if options.bookmarks and now >= next_bookmark:
                next_bookmark = now + BOOKMARK_SECONDS
                yield "BOOKMARK", _bookmark(target, revision, initial=False)
            if now >= end:
                return
            await self._pause(revision, min(end, next_bookmark) - now)

    async def _pause(self, revision: int, seconds: float) -> None:
        written = asyncio.ensure_future(self.store.wait_beyond(revision))
        closing = asyncio.ensure_future(self.closing.wait())
        try:
            await asyncio.wait({written, closing}, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            written.cancel()
            closing.cancel()

    def _shaped(self, target: Target, kind: str, item: Object, options: WatchOptions, *, first: bool) -> Object:
        if kind == "ERROR":
            return item
        if options.shape == "Table" and kind != "BOOKMARK":
            return table_event(target.resource, item, self.clock(), options.include, first=first)
        if options.shape == "PartialObjectMetadata":
            return partial_metadata(item)
        return with_kind(target.resource, item)


def _seen_of(changes: list[Change], target: Target, selection: Selection) -> Iterator[tuple[str, Object]]:
    for change in changes:
        event = _seen(change, target, selection)
        if event:
            yield event, change.last


def _seen(change: Change, target: Target, selection: Selection) -> str:
    if change.resource != target.resource.key or (target.namespace and change.namespace != target.namespace):
        return ""
    before = change.before is not None and selection.matches(change.before)
    after = change.after is not None and selection.matches(change.after)
    if after:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else ""


def _bookmark(target: Target, revision: int, *, initial: bool) -> Object:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    body: Object = {"metadata": metadata}
    if target.resource.kind == "Pod":
        body |= {"spec": {"containers": []}, "status": {}}
    return body


def _options(query: Mapping[str, str], accept: str) -> WatchOptions:
    initial = query.get("sendInitialEvents")
    bookmarks = is_true(query.get("allowWatchBookmarks"))
    match = query.get("resourceVersionMatch", "")
    if initial is not None and match != "NotOlderThan":
        message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise invalid("meta.k8s.io", "ListOptions", "", [Cause("FieldValueForbidden", "resourceVersionMatch", message)])
    if initial is None and match:
        message = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise invalid("meta.k8s.io", "ListOptions", "", [Cause("FieldValueForbidden", "resourceVersionMatch", message)])
    if is_true(initial) and not bookmarks:
        message = "Forbidden: sendInitialEvents requires setting allowWatchBookmarks to true"
        cause = Cause("FieldValueForbidden", "sendInitialEvents", message)
        raise invalid("meta.k8s.io", "ListOptions", "", [cause])
    text = query.get("timeoutSeconds", "")
    try:
        seconds = float(text) if text else random.uniform(_SHORTEST, _LONGEST)  # noqa: S311 - spreads reconnects
    except ValueError:
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise bad_request(message) from None
    return WatchOptions(
        since=query.get("resourceVersion", ""),
        seconds=seconds,
        bookmarks=bookmarks,
        initial_events=is_true(initial),
        shape=negotiate(accept, OBJECT_SHAPES),
        include=include_of(query),
    )
