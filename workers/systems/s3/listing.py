"""A whole bucket listed by several threads at once, page by page, in constant memory.

S3 lists a thousand objects to a call, and the next call needs the last one's answer, so one lister mostly waits. Here
the keys are cut where the work is: whoever is idle takes half of what another still has before it, by guessing a key in
the middle. A wrong guess costs one empty page; after some of these a span is not cut any more. Pages come in any
order, and within a page keys are in order.

Pages are read with regular expressions: a parser that makes a tree of them takes ten times as long, and XML 1.0 cannot
hold some characters that a key may have.
"""

from __future__ import annotations

import html
import re
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from workers.systems.errors import Nonsense

if TYPE_CHECKING:
    from workers.systems.s3.requests import Answer
    from workers.systems.s3.transfer import Transfer

AT_ONCE: Final = 8
_WAITING_PAGES: Final = 16
_GUESSES: Final = 6
_LOOK_SECONDS: Final = 0.2
_OBJECT: Final = re.compile(
    r"<Contents>(?:(?!</Contents>).)*?<Key>([^<]*)</Key>(?:(?!</Contents>).)*?<Size>(\d+)</Size>", re.DOTALL
)
_QUICK: Final = re.compile(r"<Key>([^<]*)</Key>.*?<Size>(\d+)</Size>", re.DOTALL)
VERSION: Final = re.compile(r"<(Version|DeleteMarker)>(.*?)</\1>", re.DOTALL)
"""Each version, in a listing of them; the client library sorts them into two lists, which loses their order."""


@dataclass(frozen=True, slots=True)
class Page:
    """current: key and bytes of each object, in order. old_bytes, old: versions that are not current.

    markers: of objects that were deleted and are kept.
    """

    current: list[tuple[str, int]]
    old: int = 0
    old_bytes: int = 0
    markers: int = 0


@dataclass(slots=True)
class _Span:
    """The keys after `after`, up to `until` and with it; empty: to the end. giver: whose half it was."""

    after: str
    until: str
    giver: _Span | None = None
    guesses: int = _GUESSES


@dataclass
class _Shared:
    """What the threads share: spans that wait for one, and how many are at work."""

    spans: deque[_Span]
    busy: int = 0
    idle: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)


class Lister:
    """Lists one bucket. versions: those that are not current as well."""

    def __init__(self, transfer: Transfer, bucket: str, *, prefix: str = "", versions: bool = False) -> None:
        """transfer: made for as many threads as `at_once` of `pages`."""
        self._transfer = transfer
        self._bucket = bucket
        self._prefix = prefix
        self._versions = versions
        self._stopping = threading.Event()

    def pages(self, at_once: int = AT_ONCE) -> Iterator[Page]:
        """Every page once, as they come. Raises ObjectsError and Nonsense; whoever stops early ends the threads."""
        shared = _Shared(deque([_Span("", "")]))
        ready: Queue[Page | None] = Queue(_WAITING_PAGES)
        with ThreadPoolExecutor(at_once, thread_name_prefix="listing") as pool:
            futures = [pool.submit(self._work, shared, ready) for _ in range(at_once)]
            try:
                ended = 0
                while ended < at_once:
                    try:
                        page = ready.get(timeout=_LOOK_SECONDS)
                    except Empty:
                        if all(future.done() for future in futures):
                            break
                        continue
                    if page is None:
                        ended += 1
                    else:
                        yield page
                for future in futures:
                    future.result()
            finally:
                self._stopping.set()
                with shared.changed:
                    shared.changed.notify_all()

    def _work(self, shared: _Shared, ready: Queue[Page | None]) -> None:
        try:
            while (span := self._next(shared)) is not None:
                try:
                    self._walk(span, shared, ready)
                finally:
                    with shared.changed:
                        shared.busy -= 1
                        shared.changed.notify_all()
        except BaseException:
            self._stopping.set()
            raise
        finally:
            self._put(ready, None)

    def _next(self, shared: _Shared) -> _Span | None:
        with shared.changed:
            shared.idle += 1
            while not shared.spans:
                if self._stopping.is_set() or not shared.busy:
                    shared.changed.notify_all()
                    return None
                shared.changed.wait(_LOOK_SECONDS)
            shared.idle -= 1
            shared.busy += 1
            return shared.spans.popleft()

    def _walk(self, span: _Span, shared: _Shared, ready: Queue[Page | None]) -> None:
        query, before = self._question(span.after), ""
        while not self._stopping.is_set():
            ask = partial(self._transfer.calls.send, "ListObjects", "GET", self._bucket, "", {}, query=query)
            answer = self._transfer.objects.ask(ask, self._bucket)
            page, last = _read(answer, versions=self._versions)
            more = answer.named("IsTruncated") == "true"
            if span.until and last > span.until:
                page, more = self._cut(answer, span.until), False
            if span.giver is not None:
                _learn(span, worth=bool(page.current or page.old or page.markers))
            if not self._put(ready, page) or not more or not last:
                return
            following = self._question_after(answer)
            if following == query or (not self._versions and last <= before):
                raise self._transfer.objects.stuck(self._bucket)
            query, before = following, last
            self._give(span, last, shared)

    def _give(self, span: _Span, last: str, shared: _Shared) -> None:
        with shared.changed:
            if shared.idle <= len(shared.spans) or span.guesses <= 0:
                return
            middle = between(last, span.until)
            if middle:
                shared.spans.append(_Span(middle, span.until, giver=span))
                span.until = middle
                shared.changed.notify()

    def _cut(self, answer: Answer, until: str) -> Page:
        return _read(answer, versions=self._versions, until=until)[0]

    def _question(self, after: str) -> str:
        asked = {"max-keys": "1000"} | ({"prefix": self._prefix} if self._prefix else {})
        if self._versions:
            asked |= {"versions": ""} | ({"key-marker": after} if after else {})
        else:
            asked |= {"list-type": "2"} | ({"start-after": after} if after else {})
        return query_of(asked)

    def _question_after(self, answer: Answer) -> str:
        asked = {"max-keys": "1000"} | ({"prefix": self._prefix} if self._prefix else {})
        if self._versions:
            asked |= {"versions": "", "key-marker": answer.named("NextKeyMarker")}
            asked |= {"version-id-marker": answer.named("NextVersionIdMarker")}
        else:
            asked |= {"list-type": "2", "continuation-token": answer.named("NextContinuationToken")}
        if not (asked.get("key-marker") or asked.get("continuation-token")):
            msg = f"The object store at {self._transfer.objects.address} does not say how its listing goes on."
            raise Nonsense(msg)
        return query_of(asked)

    def _put(self, ready: Queue[Page | None], page: Page | None) -> bool:
        while not self._stopping.is_set() or page is None:
            try:
                ready.put(page, timeout=_LOOK_SECONDS)
            except Full:
                if page is None and self._stopping.is_set():
                    return False
            else:
                return True
        return False


def between(after: str, until: str) -> str:
    """A key about half way between two; until: empty for the end. Empty where none is to be guessed."""
    at = 0
    while at < len(after) and at < len(until) and after[at] == until[at]:
        at += 1
    bounded = at < len(until)
    while at < len(after):
        low = ord(after[at])
        high = ord(until[at]) if bounded else _ceiling(after[at])
        # A slash ends a name, and its level has nothing else behind it.
        if after[at] != "/" and high - low > 1:
            middle = after[:at] + chr((low + high) // 2)
            return middle if after < middle and (not until or middle < until) else ""
        at, bounded = at + 1, False
    return ""


def _ceiling(character: str) -> int:
    return 0x67 if character in "0123456789abcdef" else 0x7F


def _learn(span: _Span, *, worth: bool) -> None:
    assert span.giver is not None
    span.giver.guesses = _GUESSES if worth else span.giver.guesses - 1
    span.giver = None


def query_of(asked: dict[str, str]) -> str:
    """As it stands behind an address's question mark."""
    return urlencode(asked, quote_via=quote, safe="-_.~")


def _read(answer: Answer, *, versions: bool, until: str = "") -> tuple[Page, str]:
    """A page up to `until`, and the last key that the store has named."""
    if versions:
        return _read_versions(answer.body, until)
    body = answer.body
    found = [(key, int(size)) for key, size in _QUICK.findall(body)]
    there = body.count("<Contents>")
    if len(found) != there:
        found = [(key, int(size)) for key, size in _OBJECT.findall(body)]
    if len(found) != there or "<ListBucketResult" not in body:
        raise Nonsense("The object store answered a listing that is not S3's.", "Check AWS_ENDPOINT_URL_S3.")
    if "&" in body:
        found = [(html.unescape(key), size) for key, size in found]
    last = found[-1][0] if found else ""
    return Page([item for item in found if item[0] <= until] if until else found), last


def _read_versions(body: str, until: str) -> tuple[Page, str]:
    if "<ListVersionsResult" not in body:
        raise Nonsense("The object store answered a listing that is not S3's.", "Check AWS_ENDPOINT_URL_S3.")
    current: list[tuple[str, int]] = []
    old = old_bytes = markers = 0
    last = ""
    for kind, inner in VERSION.findall(body):
        key = html.unescape(element(inner, "Key"))
        last = max(last, key)
        if until and key > until:
            continue
        if kind == "DeleteMarker":
            markers += 1
        elif element(inner, "IsLatest") == "true":
            current.append((key, int(element(inner, "Size") or 0)))
        else:
            old, old_bytes = old + 1, old_bytes + int(element(inner, "Size") or 0)
    return Page(current, old, old_bytes, markers), last


def element(inner: str, name: str) -> str:
    """What is between the first tags of that name, as it stands there; empty where there are none."""
    _, opened, rest = inner.partition(f"<{name}>")
    return rest.partition("</")[0] if opened else ""
