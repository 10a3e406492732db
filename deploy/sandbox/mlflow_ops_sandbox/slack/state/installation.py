"""The app as it is installed in the workspace: every part that is alive in this process, side by side.

Handlers receive one `Installation` and use its parts; the parts do not know each other. All of it runs
on one event loop, so nothing here takes a lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mlflow_ops_sandbox.slack.errors import Json, SlackError

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.faults import Faults
    from mlflow_ops_sandbox.slack.state.clock import Clock
    from mlflow_ops_sandbox.slack.state.ephemerals import Ephemerals
    from mlflow_ops_sandbox.slack.state.live import Live
    from mlflow_ops_sandbox.slack.state.modals import Modals
    from mlflow_ops_sandbox.slack.state.response_urls import ResponseUrls
    from mlflow_ops_sandbox.slack.state.store import Store
    from mlflow_ops_sandbox.slack.state.triggers import Triggers
    from mlflow_ops_sandbox.slack.state.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timings:
    """Slack's waits, in seconds. Tests shorten what they would otherwise sit out."""

    acknowledge: float = 3.0
    trigger: float = 3.0
    response_url: float = 30 * 60
    # Between the attempts to deliver an event: at once, after a minute, after five.
    event_retries: tuple[float, ...] = (0.5, 60.0, 300.0)
    redeliver: float = 0.05
    # From a socket's warning to its end.
    warning: float = 10.0
    socket_ticket: float = 30.0
    # From an upload's completion to its message; Slack says no more than that it isn't at once.
    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What became of one delivery to the app: Slack's error or None, the answer, the seconds it took.

    `reason` is what the next attempt would name as its reason; `final` where the app wants no next attempt.
    """

    error: str | None
    body: Json | str | None
    seconds: float
    reason: str = ""
    final: bool = False


class Delivery(Protocol):
    """A way to the app: Socket Mode or HTTP."""

    async def deliver(self, kind: str, payload: Json, *, attempt: int = 0, reason: str = "") -> Acknowledgement:
        """Hand over a payload (`slash_commands`, `interactive`, `events_api`) and wait for the answer."""

    def describe(self) -> Json:
        """Return how the app is connected, for the page and for tests."""

    async def redeliver(self, count: int) -> int:
        """Deliver the last `count` payloads once more; return how many there were."""


@dataclass(eq=False, kw_only=True)
class Installation:
    """The parts."""

    workspace: Workspace
    store: Store
    clock: Clock
    timings: Timings
    live: Live
    faults: Faults
    ephemerals: Ephemerals
    modals: Modals
    triggers: Triggers
    response_urls: ResponseUrls
    delivery: Delivery
    calls: Counter[str] = field(default_factory=Counter)
    base_url: str = ""
    # Whether the page has a panel that breaks things.
    panel: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run something in the background for as long as the server runs."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background work failed", exc_info=error)

    async def stop(self) -> None:
        """Stop background work, let the pages go and close the store."""
        self.live.close_all()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.store.close()

    def members(self, channel: str) -> list[str]:
        """Return the members of a channel or of a direct-message channel."""
        if person := self.workspace.direct_with(channel):
            return [person.id, self.workspace.bot.user_id]
        known = self.workspace.channel(channel)
        if known is None:
            raise SlackError("channel_not_found")
        return list(known.members)

    def find_channel(self, name: str) -> str:
        """Return the channel that is meant by an id, a `#name` or a person's id (their direct messages)."""
        if self.workspace.channel(name) or self.workspace.direct_with(name):
            return name
        if self.workspace.person(name):
            return self.workspace.direct(name)
        for channel in self.workspace.channels:
            if channel.name == name.removeprefix("#"):
                return channel.id
        raise SlackError("channel_not_found")
