"""Two health runs beside each other: what has changed from the one to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.operations.history.metrics import METRICS, Metric
from workers.report import Section, Table, Text
from workers.wording import NOTHING

if TYPE_CHECKING:
    from workers.operations.history.store import Sample
    from workers.settings import Settings

_TITLES: Final = {
    "mlflow.version": "MLflow",
    "postgres.version": "PostgreSQL",
    "pods.images": "Image",
}


def table(before: Sample, now: Sample, settings: Settings) -> tuple[Section, ...]:
    """Every named figure of both, and the versions."""
    rows = [
        (metric.title, metric.shown(old), metric.shown(new), change(metric, old, new))
        for metric in METRICS
        if (old := before.figures.get(metric.figure)) is not None
        and (new := now.figures.get(metric.figure)) is not None
    ]
    rows += [(title, old, new, "changed" if old != new else NOTHING) for title, old, new in versions(before, now)]
    then = before.at.astimezone(settings.ops.zone)
    title = f"Since {then:%a %d %b %H:%M %Z}"
    if not rows:
        return (Text(title=title, text="Then and now nothing was measured that could be compared."),)
    columns = ("figure", "then", "now", "change")
    return (Table(title=title, columns=columns, rows=tuple(rows), numeric=columns[1:]),)


def versions(before: Sample, now: Sample) -> list[tuple[str, str, str]]:
    """What runs: its title, then and now."""
    return [
        (title, ", ".join(before.notes[note]), ", ".join(now.notes[note]))
        for note, title in _TITLES.items()
        if before.notes.get(note) and now.notes.get(note)
    ]


def new_kinds(before: Sample, now: Sample) -> tuple[str, ...]:
    """Kinds of errors that were not there then."""
    return tuple(each for each in now.notes.get("logs.kinds", ()) if each not in before.notes.get("logs.kinds", ()))


def change(metric: Metric, old: float, new: float) -> str:
    """How far it went: +3.2 MiB, with a share where that says more."""
    moved = new - old
    if metric.shown(old) == metric.shown(new) or metric.shown(abs(moved)) == metric.shown(0):
        return NOTHING
    sign = "+" if moved > 0 else "\u2212"
    part = f" ({sign}{abs(moved) / old:.0%})" if old > 0 and abs(moved) / old >= 0.01 else ""  # noqa: PLR2004
    return f"{sign}{metric.shown(abs(moved))}{part}"
