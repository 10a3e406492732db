"""The Home's figures, as Slack's own table: each as it was a day before, as it is now, and how far it went.

The words are those of `health --since`. The trap: a message takes one table, Slack does not say how many a Home takes,
and a workspace may have none yet (docs/decisions/0024): this is the only one there, and `bot.home.publishing` sends it
in older blocks where Slack refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.operations.history import comparison, metrics
from workers.rendering import tables
from workers.rendering.blocks import Block, at, literal, section
from workers.report import Table
from workers.wording import NOTHING

if TYPE_CHECKING:
    from workers.operations.commands.overview import Health

NAMES: Final = ("latency", "errors", "database", "storage", "memory", "connections")
_WHEN: Final = "{date_short_pretty} {time}"


def shown(health: Health) -> list[Block]:
    """The table below its heading; nothing where none of the figures was measured."""
    known = [metrics.BY_NAME[name] for name in NAMES if metrics.BY_NAME[name].figure in health.figures]
    if not known:
        return []
    before = health.before.figures if health.before else {}
    if health.before and any(each.figure in before for each in known):
        head = f"*Figures*, beside those of {at(health.before.at.timestamp(), _WHEN)}"
        columns: tuple[str, ...] = ("figure", "then", "now", "change")
        rows = tuple(_row(each, before.get(each.figure), health.figures[each.figure]) for each in known)
    else:
        head, columns = "*Figures*", ("figure", "now")
        rows = tuple((each.title, each.shown(health.figures[each.figure])) for each in known)
    table = Table(title="Figures", columns=columns, rows=rows, numeric=columns[1:])
    return [section(head), *(tables.native(table, "Figures") or literal(tables.lines(table)))]


def _row(metric: metrics.Metric, then: float | None, now: float) -> tuple[str, ...]:
    if then is None:
        return metric.title, NOTHING, metric.shown(now), NOTHING
    return metric.title, metric.shown(then), metric.shown(now), comparison.change(metric, then, now)
