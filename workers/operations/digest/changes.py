"""What changed since the run of then, in words: only what a person would mention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from workers.operations.history import comparison, metrics
from workers.wording import NOTHING, count

if TYPE_CHECKING:
    from workers.operations.history.store import Sample

_SIZES: Final = (("database", "database"), ("storage", "artifacts"))
_CERTIFICATE_DAYS: Final = 30
_SLOWER: Final = 1.5
"""A latency is told as changed from so many times as long, or as short, on."""
_HARDLY_SECONDS: Final = 0.01
_KINDS: Final = 3
_CHARACTERS: Final = 110


def in_short(before: Sample | None, now: Sample) -> str:
    """One line for a day on which nothing is wrong."""
    said = [
        *_versions(before, now),
        *_restarts(now),
        *_sizes(before, now),
        *_latency(before, now, always=True),
        *_certificate(now),
    ]
    return "; ".join(said) or "nothing was measured"


def lines(before: Sample | None, now: Sample) -> list[str]:
    """A line each, for a day that wants to be looked at."""
    said = [
        *_versions(before, now),
        *(f"restarted: {each}" for each in now.notes.get("pods.restarted", ())[:_KINDS]),
        *_sizes(before, now),
        *_latency(before, now, always=False),
        *_certificate(now),
    ]
    fresh = comparison.new_kinds(before, now) if before else ()
    said += [f"new kind of error: {_cut(each)}" for each in fresh[:_KINDS]]
    if len(fresh) > _KINDS:
        said.append(f"and {count(len(fresh) - _KINDS, 'more kind')} of errors")
    return said


def _versions(before: Sample | None, now: Sample) -> list[str]:
    found = comparison.versions(before, now) if before else []
    return [f"{title} {old} → {new}" for title, old, new in found if old != new]


def _restarts(now: Sample) -> list[str]:
    recent = int(now.figures.get("pods.recent_restarts", 0))
    return [count(recent, "restart")] if recent else ["no restarts"]


def _sizes(before: Sample | None, now: Sample) -> list[str]:
    said = []
    for name, word in _SIZES:
        metric = metrics.BY_NAME[name]
        new = now.figures.get(metric.figure)
        if new is None:
            continue
        old = before.figures.get(metric.figure) if before else None
        moved = comparison.change(metric, old, new) if old is not None else NOTHING
        grown = f" ({moved.partition(' (')[0]})" if moved != NOTHING else ""
        said.append(f"{word} {metric.shown(new)}{grown}")
    return said


def _latency(before: Sample | None, now: Sample, *, always: bool) -> list[str]:
    metric = metrics.BY_NAME["latency"]
    new, old = now.figures.get(metric.figure), before.figures.get(metric.figure) if before else None
    if new is None:
        return []
    if old and abs(new - old) > _HARDLY_SECONDS and not old / _SLOWER < new < old * _SLOWER:
        return [f"p95 {metric.shown(new)} (was {metric.shown(old)})"]
    return [f"p95 {metric.shown(new)}"] if always else []


def _certificate(now: Sample) -> list[str]:
    days = now.figures.get("ingress.certificate_days")
    return (
        [f"certificate ends in {count(math.floor(days), 'day')}"]
        if days is not None and days <= _CERTIFICATE_DAYS
        else []
    )


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…"
