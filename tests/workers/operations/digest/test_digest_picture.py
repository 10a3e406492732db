"""Charts: readable on any theme and by the colour-blind, bounded, and in words for who does not see them."""

import io
import itertools
import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from workers.operations.history import metrics
from workers.rendering import charts, over_time
from workers.rendering.charts import Panel, Series

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)


def points(*values, every=timedelta(hours=1)):
    return [(NOW - every * (len(values) - number), float(value)) for number, value in enumerate(values)]


def rgb(colour):
    return tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))


def linear(colour):
    return tuple(each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in rgb(colour))


def luminance(colour):
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


SIMULATED = {
    # Machado, Oliveira, Fernandes 2009, severity 1.0.
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


@pytest.mark.parametrize("eyes", SIMULATED)
def test_lines_can_be_told_apart_by_the_colour_blind(eyes):
    def seen(colour):
        return [sum(a * b for a, b in zip(row, linear(colour), strict=True)) for row in SIMULATED[eyes]]

    for one, other in itertools.combinations(charts.COLOURS, 2):
        distance = sum((a - b) ** 2 for a, b in zip(seen(one), seen(other), strict=True)) ** 0.5
        assert distance > 0.12, (one, other, distance)


@pytest.mark.parametrize("colour", [*charts.COLOURS, charts.INK])
def test_every_line_stands_out_from_the_paper(colour):
    """WCAG 1.4.11: 3 to 1 for graphics."""
    assert (luminance(charts.PAPER) + 0.05) / (luminance(colour) + 0.05) >= 3


def drawn(*panels, **options):
    return Image.open(io.BytesIO(charts.draw(panels, UTC, **options)))


def test_it_brings_its_own_paper_to_every_edge():
    image = drawn(Panel("Latency", (Series("p95", points(*range(50)), str),))).convert("RGBA")
    wide, high = image.size
    edges = [(x, y) for x in range(0, wide, 7) for y in (0, high - 1)] + [
        (x, y) for x in (0, wide - 1) for y in range(high)
    ]
    assert {image.getpixel(place) for place in edges} == {(255, 255, 255, 255)}


@pytest.mark.filterwarnings("error", "default::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "series",
    [(), points(1), points(0, 0, 0), points(5, 5, 5), points(1e18, 2e18), points(1e-9, 2e-9), points(-1, 1)],
    ids=["none", "one", "nothing", "flat", "huge", "tiny", "below nothing"],
)
def test_whatever_was_measured_is_drawn(series):
    panel = Panel("A $title$ with _marks_", (Series("x", series, metrics.number),), limit=3.0)
    assert drawn(panel, Panel("Empty", (Series("y", (), str),))).size == (1260, 342)


def test_the_noisiest_fourteen_days_stay_below_what_a_message_may_hold():
    chance = random.Random(1)
    noisy = tuple(
        Panel(f"Panel {number}", (Series("a", points(*(chance.random() for _ in range(2016))), str),))
        for number in range(6)
    )
    assert len(charts.draw(noisy, UTC)) * 4 / 3 < 1 << 20


def test_words_for_who_does_not_see_it_are_bounded():
    panels = [Panel(f"Figure {number}", (Series("x", points(1, 2, 3), str),)) for number in range(100)]
    said = charts.described("Many", panels)
    assert len(said) == charts.ALT_CHARACTERS
    assert said.startswith("Many. Figure 0: between 1.0 and 3.0, last 3.0.")
    assert charts.described("One", [Panel("X", (Series("x", (), str),))]) == "One. X: no figures yet."


def test_a_line_breaks_where_nobody_measured():
    series = [*points(1, 1, 1), *((at - timedelta(days=2), value) for at, value in points(2, 2, 2))]
    times, values = charts._with_gaps(sorted(series))
    assert len(times) == 7
    assert sum(map(math.isnan, values)) == 1


@pytest.mark.parametrize(
    ("bottom", "top"), [(0, 1.5 * 2**30), (400 * 2**20, 600 * 2**20), (1.10 * 2**30, 1.12 * 2**30)]
)
def test_no_two_ticks_read_the_same(bottom, top):
    series = Series("x", (), metrics.BY_NAME["database"].shown, metrics.BYTES)
    shown = [words for _, words in charts._ticks(series, bottom, top)]
    assert shown
    assert len(shown) == len(set(shown))


def axes(values, span, unit=metrics.number):
    """The labels of one panel as they are drawn: of its figures, and of its time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    every = span / len(values)
    series = Series("x", points(*values, every=every), unit)
    charts.lines(ax, Panel("X", (series,)), UTC, (NOW - span, NOW))
    figure.canvas.draw()
    return [each.get_text() for each in ax.get_yticklabels()], [each.get_text() for each in ax.get_xticklabels()]


@pytest.mark.parametrize("values", [(0, 0, 0), (0, 0, -0.01), (-0.04, 0.04, 0), (3, 3, 3), (1e-12, 0, 0)])
def test_no_scale_reads_the_same_twice_or_minus_nothing(values):
    said, _ = axes(values, timedelta(days=14))
    assert said
    assert len(set(said)) == len(said)
    assert not [each for each in said if each.startswith(("-0", "\u22120")) and not each.strip("-\u22120.")]


@pytest.mark.parametrize("days", [0.1, 1, 1.5, 2, 3, 4, 7, 14, 30, 90, 365])
def test_no_two_labels_of_the_time_are_the_same_and_they_lie_within_it(days):
    _, said = axes(range(50), timedelta(days=days))
    assert 2 <= len(said) <= 8
    assert len(set(said)) == len(said), said


def test_a_chart_over_days_has_a_figure_for_each_day_that_was_measured():
    series = Series("p95", points(*range(14 * 24)), metrics.number)
    chart = over_time.chart("Latency", (series,), UTC)
    assert len(chart.labels) in {14, 15}
    assert chart.labels[1] == "11 Nov"
    day = [value for at, value in series.points if f"{at:%d %b}" == "11 Nov"]
    assert chart.lines[0].values[1] == pytest.approx(sum(day) / len(day))
    assert over_time.chart("Latency", (Series("p95", points(1), str),), UTC) is None
