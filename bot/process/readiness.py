"""How a process that serves says that it can: by a file, and beside it by /readyz with its metrics."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from workers.settings import Settings


@contextmanager
def until_stopped(loaded: Settings) -> Iterator[tuple[threading.Event, Callable[[], None]]]:
    """What SIGTERM and SIGINT set, and how it says that it can serve; at the end that is taken back."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        yield stop, of(loaded)
    finally:
        if loaded.environment.ready_file:
            loaded.environment.ready_file.unlink(missing_ok=True)


class Ready(Protocol):
    """How a process says that it can serve. still: whether it can, asked from then on."""

    def __call__(self, still: Callable[[], bool] = ...) -> None:
        """Say so."""


@contextmanager
def with_metrics(
    loaded: Settings, port: int | None, said_ready: Callable[[], None], process: str, *, shared: bool = True
) -> Iterator[Ready]:
    """Serve the figures beside the process; what it says once it can serve makes /readyz say so too."""
    asked: list[Callable[[], bool]] = []

    def ready(still: Callable[[], bool] = lambda: True) -> None:
        # Whoever has seen the file may ask at once, and must hear the same.
        asked.append(still)
        said_ready()

    if port is None:
        yield ready
        return
    from bot.process import metrics
    from workers.systems.redis import connect

    def can_serve() -> bool:
        return bool(asked) and asked[0]()

    redis = connect(loaded, answer_within_seconds=2.0)
    with metrics.served(port, metrics.app(redis, can_serve, process, shared=shared)):
        yield ready


def of(loaded: Settings) -> Callable[[], None]:
    """How a process says that it can serve. What one that was killed has said, in the same folder, is taken back."""
    if loaded.environment.ready_file:
        loaded.environment.ready_file.unlink(missing_ok=True)

    def ready() -> None:
        if loaded.environment.ready_file:
            loaded.environment.ready_file.touch()

    return ready
