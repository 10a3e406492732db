"""How everything stands, from Redis alone: for who looks without asking any system, such as the App Home.

The bot has no credentials of the cluster, the database or the store, so what is told here is what workers have left
behind: the figures and verdicts of the health checks with their age, the records, the steps that running ones tell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.operations.commands import maintenance
from workers.operations.commands import schedule as scheduling
from workers.operations.history.store import History
from workers.records.record import Phase, Record
from workers.records.store import Records
from workers.report import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from workers.operations.commands.maintenance import Maintenance
    from workers.operations.commands.schedule import EntryState
    from workers.operations.history.store import Sample
    from workers.settings import Ops

RECENT: Final = 1000
"""As many commands are looked through: all whose order is kept."""
MINE: Final = 5
MADE: Final = 3
_BACKUP: Final = "backup"
_DAY: Final = timedelta(days=1)
_TELLING: Final = {Phase.RUNNING, Phase.PROPOSED}


@dataclass(frozen=True)
class Health:
    """What the last checks said. at: when the last whole one was made. status: the worst verdict. ill: by check, what
    is not well, the worst first: its verdict, and what was said. figures: by check and name, as in the history.
    """

    at: datetime
    status: Status
    ill: tuple[tuple[str, Status, str], ...]
    asked: int
    figures: dict[str, float]
    before: Sample | None = None

    def ago(self, figure: str) -> datetime | None:
        """The moment of what a figure tells the age of, such as backup.age_seconds; None where it was not measured."""
        age = self.figures.get(figure)
        return None if age is None else self.at - timedelta(seconds=age)


@dataclass(frozen=True)
class Running:
    """A command under way. share: how much of its step is done, 0 to 1; None where nobody knows."""

    record: Record
    step: str = ""
    figure: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Overview:
    """All of it. health: None where nothing was measured yet. waiting: for approval, the oldest first. backups and
    mine: the newest first. maintenance: the one that lasts, None where none does.
    """

    health: Health | None
    running: tuple[Running, ...]
    waiting: tuple[Record, ...]
    backups: tuple[Record, ...]
    schedule: tuple[EntryState, ...]
    mine: tuple[Record, ...]
    maintenance: Maintenance | None = None


def overview(redis: Redis, ops: Ops, user: str, now: datetime) -> Overview:
    """As it stands for `user`, a Slack id; of commands, those of the channels of ops.yaml.

    Raises redis.exceptions.RedisError.
    """
    records, history = Records(redis), History(redis)
    still = [each for each in map(records.get, records.open()) if each and each.channel in ops.channels]
    backups, mine = _lately(records, ops, user)
    measured = health(history.latest(), history.said())
    return Overview(
        health=measured and replace(measured, before=history.near(measured.at - _DAY, _DAY / 2)),
        running=tuple(_running(each, records) for each in still if each.phase is not Phase.PENDING and not each.quiet),
        waiting=tuple(each for each in still if each.phase is Phase.PENDING),
        backups=backups,
        schedule=tuple(scheduling.entry_states(ops, redis, now)),
        mine=mine,
        maintenance=maintenance.current(redis),
    )


def last_channel(records: Records, user: str) -> str:
    """Where this person asked last; "" where they have not. Raises redis.exceptions.RedisError."""
    known = records.pick(records.recent(RECENT), "requester", "channel")
    return next((str(channel) for requester, channel in known if requester == user), "")


def health(runs: Sequence[Sample], said: dict[str, str]) -> Health | None:
    """From the latest runs, oldest first: the last whole one, and what was asked again since then. said: by check."""
    most = max((len(each.verdicts) for each in runs), default=0)
    if not most:
        return None
    whole = next(number for number in reversed(range(len(runs))) if len(runs[number].verdicts) * 2 > most)
    base = runs[whole]
    verdicts = dict(base.verdicts)
    for later in runs[whole + 1 :]:
        verdicts |= later.verdicts
    ill = [(name, Status(verdict), said.get(name, "")) for name, verdict in verdicts.items() if verdict != Status.OK]
    ill.sort(key=lambda each: -each[1].severity)
    worst = ill[0][1] if ill else Status.OK
    return Health(base.at.astimezone(UTC), worst, tuple(ill), len(verdicts), dict(base.figures))


def _running(record: Record, records: Records) -> Running:
    told = records.step(record.id) if record.phase in _TELLING else {}
    return Running(record, told.get("step", ""), told.get("figure", ""), told.get("share"))


def _lately(records: Records, ops: Ops, user: str) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """The last backups, and what this person asked for last."""
    ids = records.recent(RECENT)
    known = records.pick(ids, "requester", "operation", "phase", "channel")
    met = [(one, *fields) for one, fields in zip(ids, known, strict=True) if fields[3] in ops.channels]
    made = [one for one, _, operation, phase, _ in met if operation == _BACKUP and Phase(phase).ended][:MADE]
    mine = [one for one, requester, *_ in met if requester == user][:MINE]
    return _read(records, made), _read(records, mine)


def _read(records: Records, ids: Sequence[str]) -> tuple[Record, ...]:
    return tuple(record for record in map(records.get, ids) if record is not None)
