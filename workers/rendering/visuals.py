"""A report's chart as Slack's own, `data_visualization`; and in words, where there are no pictures.

Slack takes twenty labels and six lines (docs.slack.dev/reference/block-kit/blocks/data-visualization-block). More than
that is condensed, and the chart says so: labels beside each other become one, with the mean of their values; of lines
the first six are drawn, of a pie's slices the largest five and the rest as one. The trap: each line needs a value for
each label, so a label at which one line has none is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from workers.rendering import limits, sparkline
from workers.rendering.blocks import Block, in_one_line
from workers.report import Chart, Line
from workers.wording import NOTHING, Unit, count, duration, milliseconds, share, shortened, size

_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SECONDS: Final = (("ms", 0.001), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0))
_LEAST: Final = 3
"""A figure is written in the largest unit of which it is at least so much."""


def native(chart: Chart) -> Block | None:
    """The chart; None where too little of it can be drawn."""
    labels, lines, notes = _condensed(chart)
    drawn = _pie(chart, labels, lines) if chart.shape == "pie" else _axes(chart, labels, lines, notes)
    if drawn is None:
        return None
    # A pie has no axis that could say what its figures are counted in.
    unit = _scale(chart.unit, [value or 0.0 for value in chart.lines[0].values])[0] if chart.shape == "pie" else ""
    end = f" ({unit})" if unit else ""
    return {
        "type": "data_visualization",
        "title": f"{_short(chart.title, limits.CHART_TITLE - len(end))}{end}",
        "chart": drawn,
    }


def in_words(chart: Chart) -> list[str]:
    """A line for each of the chart's: its course in little, and where it ends."""
    said = []
    for line in chart.lines:
        known = [value for value in line.values if value is not None]
        ends = f"{written(known[0], chart.unit)} to {written(known[-1], chart.unit)}" if known else "no figures"
        if chart.shape in {"bar", "pie"}:
            pairs = zip(chart.labels, line.values, strict=False)
            ends = ", ".join(f"{label} {written(value, chart.unit)}" for label, value in pairs if value is not None)
        course = f"{sparkline.drawn(line.values)}  " if chart.shape in {"line", "area"} else ""
        said.append(f"{line.name}: {course}{ends}")
    return said


def written(value: float, unit: Unit) -> str:
    """A value as people read it."""
    match unit:
        case "bytes":
            return size(value)
        case "seconds":
            return duration(value) if abs(value) >= 10 else milliseconds(value)  # noqa: PLR2004 - milliseconds matter
        case "share":
            return share(value)
        case _:
            return f"{value:,.6g}"


def _pie(chart: Chart, labels: Sequence[str], lines: Sequence[Line]) -> Block | None:
    slices = [(label, value) for label, value in zip(labels, lines[0].values, strict=True) if value and value > 0]
    slices.sort(key=lambda each: -each[1])
    if not slices:
        return None
    if len(slices) > limits.SERIES:
        rest = slices[limits.SERIES - 1 :]
        slices = [*slices[: limits.SERIES - 1], (f"{len(rest)} others", math.fsum(value for _, value in rest))]
    _, by = _scale(chart.unit, [value for _, value in slices])
    names = _unlike((label for label, _ in slices), limits.LABEL)
    return {
        "type": "pie",
        "segments": [
            {"label": name, "value": _round(value / by) or value / by}
            for name, (_, value) in zip(names, slices, strict=True)
        ],
    }


def _axes(chart: Chart, labels: Sequence[str], lines: Sequence[Line], notes: Sequence[str]) -> Block | None:
    if not lines or not labels or (chart.shape != "bar" and len(labels) == 1):
        return None
    unit, by = _scale(chart.unit, [value for line in lines for value in line.values if value is not None])
    categories = _unlike(labels, limits.LABEL)
    names = _unlike((line.name for line in lines), limits.LABEL)
    series = [
        {
            "name": name,
            "data": [
                {"label": label, "value": _round((value or 0.0) / by)}
                for label, value in zip(categories, line.values, strict=True)
            ],
        }
        for name, line in zip(names, lines, strict=True)
    ]
    axis: Block = {"categories": categories}
    if notes:
        axis["x_label"] = _short("; ".join(notes), limits.AXIS)
    if unit:
        axis["y_label"] = unit
    return {"type": chart.shape, "series": series, "axis_config": axis}


def _condensed(chart: Chart) -> tuple[list[str], list[Line], list[str]]:
    """As many labels and lines as Slack takes, and what was done to that end."""
    notes = [chart.note] if chart.note else []
    lines = list(chart.lines[: limits.SERIES] if chart.shape != "pie" else chart.lines[:1])
    if len(chart.lines) > len(lines):
        notes.append(f"{len(lines)} of {len(chart.lines)} lines")
    columns = [(label, [_known(line.values[at]) for line in lines]) for at, label in enumerate(chart.labels)]
    if chart.shape == "pie":
        return [label for label, _ in columns], lines, notes
    many = math.ceil(len(columns) / limits.POINTS)
    if many > 1:
        notes.append(f"mean of {many} each")
        columns = [_merged(columns[at : at + many]) for at in range(0, len(columns), many)]
    whole = [(label, values) for label, values in columns if None not in values]
    if len(whole) < len(columns):
        notes.append(f"{count(len(columns) - len(whole), 'gap')}")
    values = [tuple(each[at] for _, each in whole) for at in range(len(lines))]
    made = [Line(name=line.name, values=each) for line, each in zip(lines, values, strict=True)]
    return [label for label, _ in whole], made, notes


def _merged(columns: Sequence[tuple[str, list[float | None]]]) -> tuple[str, list[float | None]]:
    merged: list[float | None] = []
    for beside in zip(*(values for _, values in columns), strict=True):
        known = [value for value in beside if value is not None]
        merged.append(math.fsum(known) / len(known) if known else None)
    return columns[0][0], merged


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _scale(unit: Unit, values: Sequence[float]) -> tuple[str, float]:
    """What the axis is counted in, and by how much the values are divided."""
    most = max(map(abs, values), default=0.0)
    if unit == "bytes":
        power = next((at for at in range(len(_BYTES) - 1, 0, -1) if most >= _LEAST * 1024**at), 0)
        return _BYTES[power], float(1024**power)
    if unit == "seconds":
        return next(((name, by) for name, by in reversed(_SECONDS) if most >= _LEAST * by), _SECONDS[0])
    return ("%", 0.01) if unit == "share" else ("", 1.0)


def _round(value: float) -> float:
    """Five digits: more cannot be seen. Never minus nothing."""
    return float(f"{value:.5g}") + 0.0


def _unlike(names: Iterable[str], most: int) -> list[str]:
    """Names of at most so many characters, none of which is another's."""
    met: list[str] = []
    for each in names:
        name, number = _short(each, most), 1
        while name in met:
            number += 1
            end = f" {number}"
            name = _short(each, most - len(end)) + end
        met.append(name)
    return met


def _short(text: str, most: int) -> str:
    return shortened(in_one_line(text) or NOTHING, most)
