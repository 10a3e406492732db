"""Much of the same work by a few threads, whose ends are taken in the order in which it was begun.

For what is listed without end: no more of it is held than lies between the oldest that is unfinished and the newest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from threading import Event

What = TypeVar("What")
Result = TypeVar("Result")


@contextmanager
def threads(at_once: int, name: str, *stopping: Event) -> Iterator[ThreadPoolExecutor]:
    """So many threads, called `name`. Left by an error, they are told to stop, and nothing more is begun."""
    with ThreadPoolExecutor(at_once, thread_name_prefix=name) as pool:
        try:
            yield pool
        except BaseException:
            for each in stopping:
                each.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def in_order(
    pool: ThreadPoolExecutor, calls: Iterable[tuple[What, Callable[[], Result]]], ahead: int
) -> Iterator[tuple[What, Future[Result]]]:
    """Each call with what it is about, as it is begun; at most `ahead` that were not taken are begun."""
    window: deque[tuple[What, Future[Result]]] = deque()
    for what, call in calls:
        window.append((what, pool.submit(call)))
        if len(window) >= ahead:
            yield window.popleft()
    while window:
        yield window.popleft()
