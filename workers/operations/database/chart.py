"""The database in one picture: where its bytes are, where dead rows lie, and who holds its connections."""

from __future__ import annotations

import base64
from collections import Counter
from typing import TYPE_CHECKING, Final

from workers.operations.database.activity import called
from workers.rendering import bars, charts
from workers.report import Attachment, Chart, Line
from workers.wording import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

    from workers.systems.postgres.maintenance import Session, TableFigures


MOST: Final = 12


def largest(tables: Sequence[TableFigures]) -> Chart:
    """Tables and their indexes as bars, the largest first."""
    shown = sorted(tables, key=lambda each: (-each.total_bytes, each.name))[:MOST]
    lines = (
        Line(name="rows", values=tuple(float(each.total_bytes - each.index_bytes) for each in shown)),
        Line(name="indexes", values=tuple(float(each.index_bytes) for each in shown)),
    )
    labels = tuple(each.name for each in shown)
    note = f"the {MOST} largest" if len(tables) > MOST else ""
    return Chart(title="Largest tables", shape="bar", labels=labels, lines=lines, unit="bytes", note=note)


def drawn(tables: Sequence[TableFigures], sessions: Sequence[Session], connections: int) -> Attachment:
    """Four panels. connections: as many as the server takes."""
    clients = Counter(called(each) for each in sessions)
    panels = (
        bars.Bars("Largest tables", _ranked((each.name, each.total_bytes) for each in tables)),
        bars.Bars("Indexes by table", _ranked((each.name, each.index_bytes) for each in tables)),
        bars.Bars(
            "Dead rows",
            tuple(
                (each.name, float(each.dead_rows), f"{each.dead_rows:,} of {each.rows + each.dead_rows:,}")
                for each in sorted(tables, key=lambda each: (-each.dead_rows, each.name))
                if each.dead_rows
            ),
        ),
        bars.Bars(
            f"Connections, of {connections}",
            tuple((name, float(number), f"{number}") for name, number in clients.most_common()),
            whole=float(connections),
        ),
    )

    def paint(ax: Axes, number: int) -> None:
        bars.paint(ax, panels[number])

    content = base64.b64encode(charts.beside(len(panels), paint, wide=4.4, high=2.3)).decode()
    said = " ".join(("The database in one picture.", *map(bars.words, panels)))[: charts.ALT_CHARACTERS]
    return Attachment(filename="database.png", content=content, alt=said, in_sight=True)


def _ranked(sizes: Iterable[tuple[str, int]]) -> tuple[tuple[str, float, str], ...]:
    largest = sorted(sizes, key=lambda each: (-each[1], each[0]))
    return tuple((name, float(number), size(number)) for name, number in largest if number)
