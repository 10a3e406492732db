"""One message in the morning: how it is, what changed, what was done, what waits, what needs a person.

A day on which nothing needs anybody is three lines. Where there is more, there are more lines, a button for each thing
to do, and the tables in the thread. Below it stands a picture.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from workers.operation import Operation, Progress, Risk
from workers.operations.digest import backups, changes, chart, todo, yesterday
from workers.operations.health import Health
from workers.operations.history import comparison, forecast, metrics, trend
from workers.operations.history.store import History, sample
from workers.records import people
from workers.report import Lead, Offer, Report, Status
from workers.settings import cron

if TYPE_CHECKING:
    from workers.operations.digest.yesterday import Commands
    from workers.operations.history.store import Sample
    from workers.settings import Ops, Settings
    from workers.systems import Systems

LATE_SECONDS: Final = 600
"""What runs so long after its time says so: less is a queue, or a worker that starts."""
_DAY: Final = timedelta(days=1)
_LONGEST: Final = timedelta(days=5)
_NEAR: Final = timedelta(hours=12)
_OFFERS: Final = 8
_FORECASTS: Final = ("database", "storage", "memory")


class Digest(Operation):
    """How MLflow is this morning. due: when the clock asked for it, epoch seconds; None where a person did."""

    name: ClassVar[str] = "digest"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 120

    due: float | None = None

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask, compare, and tell. Raises redis.exceptions.RedisError, Cancelled."""
        checked = Health().run(systems, progress)
        now, settings = datetime.now(UTC), systems.settings
        progress.step("Looking at what was done since yesterday")
        history = History(systems.redis)
        since = self._since(now, settings.ops)
        made, before = sample(checked.checks, now), history.near(since, _NEAR)
        done = yesterday.commands(systems.redis, since)
        waits = yesterday.waiting(systems.redis)
        soon = _forecasts(history, settings, made, now)
        offers = [*todo.offers(checked.checks, settings), *soon, *map(yesterday.approval, waits)]
        progress.step("Drawing the last two weeks")
        drawn, charts = chart.drawn(history, settings, now)
        backed_up = f"{backups.last(checked.checks, settings)}; {backups.drill(checked.checks)}"
        backed_up += backups.recovery(checked.checks)
        when = "Yesterday" if now - since <= _DAY * 1.5 else f"Since {since.astimezone(settings.ops.zone):%a}"
        green = checked.status is Status.OK and not offers and not done.failed
        leads = _calm(before, made, done, when) if green else _all(before, made, done, backed_up, when)
        leads += [Lead(name="Needs a person today")] if offers else []
        called = people.names(systems.redis, (each for lead in leads for each in lead.by))
        leads = [lead.model_copy(update={"called": tuple(map(called, lead.by))}) for lead in leads]
        summary = f"all is well; {backed_up}." if green else _worse(checked.summary, offers)
        compared = comparison.table(before, made, settings) if before else ()
        return Report(
            title=self._headline(now, settings.ops),
            status=checked.status,
            summary=summary,
            sections=(*compared, *done.table(systems.redis), *charts),
            lead=tuple(leads),
            offers=tuple(_bounded(offers)),
            attachments=drawn,
        )

    def _since(self, now: datetime, ops: Ops) -> datetime:
        """A day ago; the clock's digest begins where the one before ended, so that Monday tells of the weekend."""
        if self.due is None:
            return now - _DAY
        entry = ops.clock.get(self.name) or ops.digest.entry
        before = cron.last(entry.cron, ops.zone, datetime.fromtimestamp(self.due, UTC) - timedelta(minutes=1))
        return max(before, now - _LONGEST)

    def _headline(self, now: datetime, ops: Ops) -> str:
        title = f"Digest, {now.astimezone(ops.zone):%a %d %b}"
        if self.due is None or time.time() - self.due < LATE_SECONDS:
            return title
        return f"{title}, late (due {datetime.fromtimestamp(self.due, ops.zone):%a %H:%M})"


def _calm(before: Sample | None, made: Sample, done: Commands, when: str) -> list[Lead]:
    return [
        Lead(name="Now" if before is None else "Changed", text=f"{changes.in_short(before, made)}."),
        Lead(name=when, text=f"nothing waits; {done.in_short()}", by=done.people()),
    ]


def _all(before: Sample | None, made: Sample, done: Commands, backed_up: str, when: str) -> list[Lead]:
    changed = changes.lines(before, made)
    told = "; ".join(changed[:1]) if len(changed) == 1 else ""
    leads = [Lead(name="Changed", text=told or ("" if changed else "nothing that stands out"))]
    leads += [Lead(text=f"• {each}") for each in changed] if len(changed) > 1 else []
    leads.append(Lead(name="Backups", text=backed_up))
    leads.append(Lead(name=when, text=done.in_short()))
    return [*leads, *done.leads()]


def _worse(summary: str, offers: list[Offer]) -> str:
    needs = "nothing needs a person" if not offers else f"{len(offers)} to look at today"
    return f"{summary.rstrip('.')}; {needs}."


def _bounded(offers: list[Offer]) -> list[Offer]:
    left = len(offers) - _OFFERS
    if left <= 0:
        return offers
    return [*offers[:_OFFERS], Offer(sentence=f"And {left} more.", label="Ask again", command="health")]


def _forecasts(history: History, settings: Settings, made: Sample, now: datetime) -> list[Offer]:
    """What will be full soon."""
    found = []
    for name in _FORECASTS:
        metric = metrics.BY_NAME[name]
        limit = metrics.limit(metric, made.figures, settings)
        line = forecast.through(history.points(metric.figure, now - trend.DEFAULT_DAYS * _DAY, now), now)
        days = line.days_to(limit) if line and limit is not None else None
        if days is not None and days <= trend.NEAR_DAYS:
            found.append(
                Offer(sentence=trend.forecast_sentence(metric, limit, line), label="Draw it", command=f"trend {name}")
            )
    return found
