"""What the artifacts take as a picture: whose they are, and how they have grown."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from workers.rendering import bars, charts
from workers.report import Attachment, Chart, Line
from workers.wording import size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from matplotlib.axes import Axes

    from workers.operations.storage.cache import Group, Point

_UNITS = tuple(float(1 << power) for power in (0, 10, 20, 30, 40))


MOST: Final = 12


def beside(title: str, groups: Sequence[tuple[str, Group]]) -> Chart:
    """The largest as bars; the picture has how they have grown too."""
    shown = [(name, group.bytes) for name, group in groups if group.bytes][:MOST]
    sizes = Line(name="size", values=tuple(float(number) for _, number in shown))
    note = f"the {MOST} largest" if len(groups) > MOST else ""
    return Chart(
        title=title, shape="bar", labels=tuple(name for name, _ in shown), lines=(sizes,), unit="bytes", note=note
    )


def drawn(title: str, groups: Sequence[tuple[str, Group]], points: Sequence[Point], zone: tzinfo) -> Attachment:
    """groups: the largest first, with what each is called. points: what was measured before, oldest first, and now."""
    beside = bars.Bars(title, tuple((name, float(group.bytes), size(group.bytes)) for name, group in groups))
    sizes = [(datetime.fromtimestamp(each.at, UTC), float(each.bytes)) for each in points]
    growth = charts.Panel("All artifacts", (charts.Series("size", sizes, size, _UNITS),)) if len(sizes) > 1 else None

    def paint(ax: Axes, number: int) -> None:
        if number == 0:
            bars.paint(ax, beside)
        elif growth is not None:
            charts.lines(ax, growth, zone)

    panels = 1 if growth is None else 2
    content = base64.b64encode(charts.beside(panels, paint, columns=panels, wide=4.4, high=2.6)).decode()
    said = f"Artifact storage. {bars.words(beside)}"
    if growth is not None:
        said = f"{said} {charts.described('Growth', [growth])}"
    return Attachment(filename="storage.png", content=content, alt=said[: charts.ALT_CHARACTERS], in_sight=True)
