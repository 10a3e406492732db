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
from workers.report import Attachment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

    from workers.systems.mlflow.tracking import Tracking

RUNS: Final = 4
METRICS: Final = 4
LEAST_STEPS: Final = 3
POINTS: Final = 2000
"""Of one curve; more than that many pixels are not drawn."""
_CANDIDATES: Final = 8

Curve = list[tuple[int, float]]


def drawn(tracking: Tracking, runs: dict[str, str], metrics: Iterable[str]) -> tuple[Attachment, ...]:
    """The picture of those metrics that have steps; none where there is nothing to draw.

    runs: what each is called, by its id, the best first. Raises TrackingError.
    """
    if len(runs) < 2:  # noqa: PLR2004 - one is no comparison
        return ()
    runs = dict(islice(runs.items(), RUNS))
    panels: list[tuple[str, dict[str, Curve]]] = []
    for name in list(metrics)[:_CANDIDATES]:
        curves = {called: _curve(tracking, run, name) for run, called in runs.items()}
        if any(len(curve) >= LEAST_STEPS for curve in curves.values()):
            panels.append((name, curves))
        if len(panels) == METRICS:
            break
    if not panels:
        return ()

    def paint(ax: Axes, number: int) -> None:
        _panel(ax, *panels[number])

    columns = 2 if len(panels) > 1 else 1
    content = base64.b64encode(charts.beside(len(panels), paint, columns=columns, high=2.2)).decode()
    words = " ".join(("Metrics by step.", *(_words(name, curves) for name, curves in panels)))
    return (Attachment(filename="compare.png", content=content, alt=words[: charts.ALT_CHARACTERS]),)


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
