"""Metrics that have steps, as curves: a panel for each metric, a line for each run.

Of few of both, the first ones, because more cannot be told apart; the file beside it has all of them.
"""

from __future__ import annotations

import base64
import math
from itertools import islice
from typing import TYPE_CHECKING, Final

from workers.operations.runs.show import figure
from workers.rendering import bars, charts
from workers.rendering.blocks import CHARTS
from workers.rendering.sparkline import averaged
from workers.report import Attachment, Chart, Line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

    from workers.systems.mlflow.tracking import Tracking

RUNS: Final = 4
METRICS: Final = 4
LEAST_STEPS: Final = 3
POINTS: Final = 2000
"""Of one curve; more than that many pixels are not drawn."""
POINTS_SHOWN: Final = 20
_CANDIDATES: Final = 8

Curve = list[tuple[int, float]]


def drawn(
    tracking: Tracking, runs: dict[str, str], metrics: Iterable[str]
) -> tuple[tuple[Attachment, ...], tuple[Chart, ...]]:
    """The picture of those metrics that have steps, and charts of the first ones; none where there is nothing to draw.

    runs: what each is called, by its id, the best first. Raises TrackingError.
    """
    if len(runs) < 2:  # noqa: PLR2004 - one is no comparison
        return (), ()
    runs = dict(islice(runs.items(), RUNS))
    panels: list[tuple[str, dict[str, Curve]]] = []
    for name in list(metrics)[:_CANDIDATES]:
        curves = {called: _curve(tracking, run, name) for run, called in runs.items()}
        if any(len(curve) >= LEAST_STEPS for curve in curves.values()):
            panels.append((name, curves))
        if len(panels) == METRICS:
            break
    if not panels:
        return (), ()

    def paint(ax: Axes, number: int) -> None:
        _panel(ax, *panels[number])

    columns = 2 if len(panels) > 1 else 1
    content = base64.b64encode(charts.beside(len(panels), paint, columns=columns, high=2.2)).decode()
    words = " ".join(("Metrics by step.", *(_words(name, curves) for name, curves in panels)))
    made = (_chart(name, curves) for name, curves in panels[:CHARTS])
    picture = Attachment(filename="compare.png", content=content, alt=words[: charts.ALT_CHARACTERS])
    return (picture,), tuple(each for each in made if each)


def _chart(name: str, curves: dict[str, Curve]) -> Chart | None:
    """A metric over the steps that all runs have; a figure is the mean of the steps about it."""
    known = {called: curve for called, curve in curves.items() if curve}
    first = max(curve[0][0] for curve in known.values())
    last = min(curve[-1][0] for curve in known.values())
    if last - first < LEAST_STEPS - 1:
        return None
    places = min(POINTS_SHOWN, last - first + 1)
    lines = tuple(
        Line(name=called, values=tuple(averaged([(float(at), value) for at, value in curve], first, last, places)))
        for called, curve in known.items()
    )
    labels = tuple(f"{first + round((last - first) * at / max(1, places - 1)):,}" for at in range(places))
    note = "step" if places == last - first + 1 else "step; means of those about it"
    return Chart(title=f"{name} by step", labels=labels, lines=lines, note=note)


def _curve(tracking: Tracking, run: str, metric: str) -> Curve:
    query = {"run_id": run, "metric_key": metric, "max_results": str(POINTS)}
    found = tracking.ask("metrics/get-history", **query).get("metrics") or []
    points = ((int(each.get("step") or 0), float(each.get("value", "nan"))) for each in found)
    return sorted((step, value) for step, value in points if math.isfinite(value))


def _panel(ax: Axes, name: str, curves: dict[str, Curve]) -> None:
    charts.frame(ax, name)
    for colour, style, (called, curve) in zip(charts.COLOURS, charts.STYLES, curves.items(), strict=False):
        if curve:
            mark = "o" if len(curve) == 1 else None
            ax.plot(
                *zip(*curve, strict=True),
                color=colour,
                linestyle=style,
                label=bars.legible(called),
                marker=mark,
                linewidth=1.4,
            )
    ax.set_xlabel("step", fontsize=8)
    ax.legend(fontsize=7, frameon=False)


def _words(name: str, curves: dict[str, Curve]) -> str:
    ends = ", ".join(
        f"{called} from {figure(curve[0][1])} to {figure(curve[-1][1])} in {len(curve)} steps"
        if curve
        else f"{called} none"
        for called, curve in curves.items()
    )
    return f"{name}: {ends}."
