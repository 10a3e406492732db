"""What the open pages are told: one queue a page, each knowing who is looking.

A page that does not read is dropped once its queue is full: it loads everything anew when it comes
back, so nothing is lost, and a forgotten tab cannot fill the memory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from mlflow_ops_sandbox.slack.errors import Json

QUEUE = 1000


@dataclass(eq=False, slots=True)
class Page:
    """One open page."""

    user: str
    events: asyncio.Queue[Json | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))


class Live:
    """The open pages."""

    def __init__(self) -> None:
        """Start with no page open."""
        self._pages: set[Page] = set()

    def open(self, user: str) -> Page:
        """Register a page that `user` is looking at."""
        page = Page(user)
        self._pages.add(page)
        return page

    def close(self, page: Page) -> None:
        """Forget a page."""
        self._pages.discard(page)

    def tell(self, event: Json, *, only: str | None = None) -> None:
        """Tell every page, or those of one person."""
        for page in list(self._pages):
            if only is not None and page.user != only:
                continue
            try:
                page.events.put_nowait(event)
            except asyncio.QueueFull:
                self.close(page)
                page.events.get_nowait()
                page.events.put_nowait(None)

    def close_all(self) -> None:
        """Ask every page's connection to end."""
        for page in list(self._pages):
            self.close(page)
            if not page.events.full():
                page.events.put_nowait(None)
