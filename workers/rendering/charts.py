"""Small line charts beside each other, as one PNG.

Slack shows the same picture on white and on near black. No colour can be read as small text on both (4.1 to 1 at best,
and WCAG 1.4.3 asks for 4.5), so the picture brings its own ground: slate, a card on the white page and no lamp on the
dark one. Its colours are Okabe and Ito's, which colour-blind people can tell apart (https://jfly.uni-koeln.de/color/),
and nothing is told by colour alone: the last value is written out, a limit is a dashed line with its name. The trap:
what matplotlib colours by itself is black, so its defaults are replaced as well. It is imported when a picture is
drawn, with the Agg renderer and without pyplot, which keeps figures of its own.
"""

from __future__ import annotations

import io
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workers.rendering import time_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE: Final = "#56B4E9"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
WHITE: Final = "#FFFFFF"
COLOURS: Final = (BLUE, ORANGE, GREEN, WHITE)
STYLES: Final = ("solid", (0, (4, 1.2)), (0, (1, 1.2)), "dashdot")
PAPER: Final = "#30343B"
INK: Final = "#F8F8F8"
_FAINT: Final = "#6B7280"
_MIDDLE: Final = "#C6CAD0"
_BY_ITSELF: Final = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    **{f"{axis}tick.{part}": _MIDDLE for axis in "xy" for part in ("color", "labelcolor")},
    "axes.labelcolor": _MIDDLE,
    "axes.edgecolor": _FAINT,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.facecolor": PAPER,
}
"""What matplotlib takes where nothing else is said."""

ALT_CHARACTERS: Final = 1000
"""https://docs.slack.dev/reference/methods/files.getUploadURLExternal: alt_txt"""
_DPI: Final = 180
_WIDE, _HIGH = 3.5, 1.75
_SPAN: Final = 0.08
"""A scale shows at least such a share of its highest value."""
_NOTHING: Final = 1e-6
"""Such a share of a scale is none of it."""
_GAP: Final = 4
"""A line breaks where there was no figure for so many times the usual distance."""


@dataclass(frozen=True)
class Series:
    """A line. points: when and how much, oldest first. shown: how a value is written. units: round steps of the scale
    are multiples of one of these (minutes and hours in seconds).
    """

    name: str
    points: Sequence[tuple[datetime, float]]
    shown: Callable[[float], str]
    units: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Panel:
    """One chart. limit: where it must not go. ahead: the forecast's first and last point."""

    title: str
    series: tuple[Series, ...]
    limit: float | None = None
    ahead: tuple[tuple[datetime, float], tuple[datetime, float]] | None = None


def draw(  # noqa: PLR0913 - all but the first two by name
    panels: Sequence[Panel],
    zone: tzinfo,
    *,
    over: tuple[datetime, datetime] | None = None,
    columns: int = 2,
    wide: float = _WIDE,
    high: float = _HIGH,
) -> bytes:
    """The panels as a PNG, `columns` beside each other, all over the same time. over: the time that was asked about, so
    that the axis has it, whether or not something was measured all along. wide and high: of one, in inches.
    """
    moments = [at for panel in panels for series in panel.series for at, _ in series.points]
    moments += [at for panel in panels if panel.ahead for at, _ in panel.ahead]
    moments += over or ()
    around = (min(moments), max(moments)) if moments else None

    def paint(ax: Axes, number: int) -> None:
        lines(ax, panels[number], zone, around)

    return beside(len(panels), paint, columns=columns, wide=wide, high=high)


def beside(
    panels: int, paint: Callable[[Axes, int], None], *, columns: int = 2, wide: float = _WIDE, high: float = _HIGH
) -> bytes:
    """So many panels as a PNG, each painted by its number. wide and high: of one, in inches."""
    # Its cache of fonts takes seconds to make: kept where every work-horse finds it, also without a home.
    os.environ.setdefault("MPLCONFIGDIR", str(Path(tempfile.gettempdir()) / "mlflow-ops-matplotlib"))
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = math.ceil(panels / columns)
    with rc_context(_BY_ITSELF):  # type: ignore[arg-type]
        figure = Figure(figsize=(wide * columns, high * rows + 0.15), dpi=_DPI)
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False)
        for number, ax in enumerate(axes.flat):
            if number < panels:
                paint(ax, number)
            else:
                ax.set_axis_off()
        held = io.BytesIO()
        figure.savefig(held, format="png", metadata={"Software": None})
    return held.getvalue()


def described(title: str, panels: Sequence[Panel]) -> str:
    """The picture in words, for who does not see it; no longer than Slack's alternative text may be."""
    words = " ".join([f"{title}.", *(_words(panel) for panel in panels)])
    return words if len(words) <= ALT_CHARACTERS else f"{words[: ALT_CHARACTERS - 1]}…"


def frame(ax: Axes, title: str) -> None:
    """A panel's title and axes."""
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8, length=3)
    ax.grid(visible=True, axis="y", color=_FAINT, linewidth=0.5, alpha=0.6)
    ax.set_axisbelow(True)


def _words(panel: Panel) -> str:
    said = []
    for series in panel.series:
        name = f"{panel.title}, {series.name}" if len(panel.series) > 1 else panel.title
        values = [value for _, value in series.points]
        if not values:
            said.append(f"{name}: no figures yet.")
            continue
        least, most = series.shown(min(values)), series.shown(max(values))
        between = f"between {least} and {most}" if least != most else "unchanged"
        said.append(f"{name}: {between}, last {series.shown(values[-1])}.")
    return " ".join(said)


def lines(ax: Axes, panel: Panel, zone: tzinfo, around: tuple[datetime, datetime] | None = None) -> None:
    """One panel painted. around: the first and last moment of the axis; by default the panel's own."""
    frame(ax, panel.title)
    if not any(series.points for series in panel.series):
        ax.text(0.5, 0.5, "no figures yet", transform=ax.transAxes, ha="center", va="center", color=_MIDDLE)
        ax.set_xticks([])
        ax.set_yticks([])
        return
    for colour, style, series in zip(COLOURS, STYLES, panel.series, strict=False):
        _line(ax, series, colour, style, zone)
    _scale(ax, panel, zone)
    ticks = _ticks(panel.series[0], *ax.get_ylim())
    ax.set_yticks([at for at, _ in ticks], [words for _, words in ticks])
    moments = around or [at for series in panel.series for at, _ in series.points]
    time_axis.between(ax, min(moments), max(moments), zone)
    said = " · ".join(
        f"{series.name + ' ' if len(panel.series) > 1 else ''}{series.shown(series.points[-1][1])}"
        for series in panel.series
        if series.points
    )
    ax.set_title(said, loc="right", fontsize=9, color=INK)
    if len(panel.series) > 1:
        ax.legend(fontsize=7, frameon=False, loc="upper left", ncols=len(panel.series))


def _ticks(series: Series, bottom: float, top: float) -> list[tuple[float, str]]:
    """Round values with their words, no two of which read the same."""
    from matplotlib.ticker import MaxNLocator

    unit = max((each for each in series.units if each * 2 <= top), default=series.units[0])
    found: dict[str, float] = {}
    for step in MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(bottom / unit, top / unit):
        # What is nothing but for a rounding would read -0.
        at = 0.0 if abs(step * unit) < (top - bottom) * _NOTHING else float(step * unit)
        words = series.shown(at)
        # Too little to be written is not told as nothing.
        if bottom <= at <= top and (not at or any(each in "123456789" for each in words)):
            found.setdefault(words, at)
    return [(at, words) for words, at in found.items()]


def _line(ax: Axes, series: Series, colour: str, style: Any, zone: tzinfo) -> None:
    times, values = _with_gaps(series.points)
    local: Any = [at.astimezone(zone).replace(tzinfo=None) for at in times]
    ax.plot(local, values, color=colour, linestyle=style, linewidth=1.6, label=series.name)
    if series.points:
        ax.plot([local[-1]], [values[-1]], marker="o", markersize=4, color=colour)


def _with_gaps(points: Sequence[tuple[datetime, float]]) -> tuple[list[datetime], list[float]]:
    """The points, with a hole where nobody measured for long."""
    steps = sorted((b[0] - a[0] for a, b in pairwise(points)), key=timedelta.total_seconds)
    longest = max(_GAP * steps[len(steps) // 2], timedelta(hours=12)) if steps else timedelta.max
    times: list[datetime] = []
    values: list[float] = []
    for at, value in points:
        if times and at - times[-1] > longest:
            times.append(times[-1] + timedelta(seconds=1))
            values.append(math.nan)
        times.append(at)
        values.append(value)
    return times, values


def _scale(ax: Axes, panel: Panel, zone: tzinfo) -> None:
    values = [value for series in panel.series for _, value in series.points]
    values += [value for _, value in panel.ahead or ()]
    least, most = min(values), max(values)
    if panel.limit is not None and panel.limit <= max(most * 3, most + 1e-9):
        least, most = min(least, panel.limit), max(most, panel.limit)
        ax.axhline(panel.limit, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        words = f"limit {panel.series[0].shown(panel.limit)}"
        ax.annotate(words, (0.01, panel.limit), xycoords=("axes fraction", "data"), fontsize=7, color=INK, va="bottom")
    if panel.ahead:
        times: Any = [at.astimezone(zone).replace(tzinfo=None) for at, _ in panel.ahead]
        ax.plot(times, [value for _, value in panel.ahead], color=ORANGE, linewidth=1.4, linestyle=(0, (1, 1.5)))
    # Sizes that hardly change are not blown up; a figure near nothing starts at nothing.
    room = max((most - least) * 0.12, (abs(most) * _SPAN - (most - least)) / 2, 1e-9)
    if least == most == 0:
        # Nothing at all: a scale around it would read from 0 to -0.
        least, most, room = 0.0, 1.0, 0.1
    bottom = 0.0 if least >= 0 and least < most * 0.6 else least - room
    ax.set_ylim(bottom, most + room * (3 if len(panel.series) > 1 else 1.5))
