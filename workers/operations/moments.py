"""Where the server of a moment comes from: what each way there offers to all that goes back.

One replays WAL that we keep (restore/from_base.py), one has CloudNativePG recover a second Cluster
(restore/from_cnpg.py). From the dump of it on, all is the same (restore/moment.py).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems import Systems
    from workers.systems.postgres.database import Database


@dataclass(frozen=True)
class Moment:
    """inclusive: what was committed at that very microsecond belongs to it."""

    at: datetime
    inclusive: bool = True


@dataclass(frozen=True)
class Missing:
    """What is missing: since and until are of what stands around it."""

    since: datetime
    until: datetime
    words: str


@dataclass(frozen=True)
class Reach:
    """spans: the stretches of time that can be gone back to, oldest first. point_seconds: how old the newest one is."""

    spans: list[tuple[datetime, datetime]]
    point_seconds: float | None
    missing: tuple[Missing, ...] = ()


class Source(Protocol):
    """How one moment is reached."""

    @property
    def server(self) -> str:
        """Whose moment it is: the server's system identifier."""

    @property
    def version(self) -> str:
        """PostgreSQL's, then."""

    @property
    def rests(self) -> str:
        """What it is made from: a plan that was approved is bound to it."""

    @property
    def estimate_seconds(self) -> float:
        """How long until MLflow's database is dumped from it."""

    def steps(self, to: Moment | None, database: str) -> tuple[str, ...]:
        """For a plan: until it is dumped. to: None where a plan does not say which moment."""

    def facts(self) -> tuple[tuple[str, str], ...]:
        """For a plan, and for a drill's report."""

    def database(self, systems: Systems, to: Moment, progress: Progress) -> AbstractContextManager[Database]:
        """MLflow's as it was then, as a superuser, for as long as this goes on. Raises OperatorError, and Cancelled."""
