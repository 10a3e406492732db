"""Charts: readable in both themes and by the colour-blind, bounded, and in words for who does not see them."""

import io
import itertools
import math
import random
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from workers.operations.history import metrics
from workers.operations.runs import curves
from workers.rendering import bars, charts, over_time, time_axis
from workers.rendering.charts import Panel, Series

pytestmark = pytest.mark.filterwarnings("error", "default::pytest.PytestUnraisableExceptionWarning")
"""What matplotlib warns of is a picture that came out otherwise than was asked."""
LIGHT, DARK = "#ffffff", "#1a1d21"
"""The pages that Slack shows a picture on."""
NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)
ZONES = [UTC, *map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"))]


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


def contrast(one, other):
    """WCAG 2: 1 to 21, of two colors like #30343b (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_formula_is_wcags():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast(DARK, LIGHT) == contrast(LIGHT, DARK)


def test_no_color_could_be_read_as_small_text_on_both_pages():
    """So the picture brings a ground of its own."""
    greys = [f"#{each:02x}{each:02x}{each:02x}" for each in range(256)]
    assert max(min(contrast(each, LIGHT), contrast(each, DARK)) for each in greys) < 4.5


def test_the_ground_is_a_card_on_the_white_page_and_no_lamp_on_the_dark_one():
    assert contrast(charts.PAPER, LIGHT) >= 3, "its edge is seen: 1.4.11"
    assert contrast(charts.PAPER, DARK) <= 2


LINES = Panel(
    "Latency",
    (Series("p95", points(*range(50)), str), Series("p50", points(*range(7, 57)), str)),
    limit=60.0,
    ahead=((NOW, 50.0), (NOW + timedelta(days=1), 70.0)),
)
EMPTY = Panel("Errors", (Series("errors", (), str),))
SMALL = {name: [(step, 1e-7 * step * factor) for step in range(50)] for factor, name in enumerate("abcd", 1)}
PAINTED = {
    "lines": lambda ax: charts.lines(ax, LINES, UTC),
    "no line": lambda ax: charts.lines(ax, EMPTY, UTC),
    "bars": lambda ax: bars.paint(ax, bars.Bars("Tables", [("runs", 3.0, "3 MiB"), ("metrics", 1.0, "1 MiB")])),
    "no bars": lambda ax: bars.paint(ax, bars.Bars("Tables", [])),
    "curves": lambda ax: curves._panel(ax, "loss", SMALL),
}


@pytest.mark.parametrize("painted", PAINTED)
def test_all_that_is_drawn_stands_out_from_the_ground(painted):
    """WCAG 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for graphics. Also what matplotlib colors by itself."""
    figures = []

    def paint(ax, _):
        figures.append(ax.figure)
        PAINTED[painted](ax)

    charts.beside(1, paint, columns=1)
    figure, (ax,) = figures[0], figures[0].axes
    assert to_hex(figure.get_facecolor()) == to_hex(ax.get_facecolor()) == charts.PAPER.lower()
    texts = [each for each in figure.findobj(Text) if each.get_visible() and each.get_text()]
    assert texts
    for each in texts:
        assert contrast(to_hex(each.get_color()), charts.PAPER) >= 4.5, each
    for each in ax.lines:
        assert contrast(to_hex(each.get_color()), charts.PAPER) >= 3, each
    for each in ax.patches:
        assert contrast(to_hex(each.get_facecolor()), charts.PAPER) >= 3, each
    assert painted in {"no line", "no bars"} or ax.lines or ax.patches


def drawn(*panels, **options):
    return Image.open(io.BytesIO(charts.draw(panels, UTC, **options)))


def test_it_brings_its_own_ground_to_every_edge():
    image = drawn(Panel("Latency", (Series("p95", points(*range(50)), str),))).convert("RGBA")
    wide, high = image.size
    edges = [(x, y) for x in range(0, wide, 7) for y in (0, high - 1)] + [
        (x, y) for x in (0, wide - 1) for y in range(high)
    ]
    ground = tuple(round(each * 255) for each in rgb(charts.PAPER))
    assert {image.getpixel(place) for place in edges} == {(*ground, 255)}


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


def scale(values):
    """The labels of one panel's figures, as they are drawn."""
    figure = Figure()
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    series = Series("x", points(*values, every=timedelta(days=4)), metrics.number)
    charts.lines(ax, Panel("X", (series,)), UTC)
    figure.canvas.draw()
    return [each.get_text() for each in ax.get_yticklabels()]


@pytest.mark.parametrize("values", [(0, 0, 0), (0, 0, -0.01), (-0.04, 0.04, 0), (3, 3, 3), (1e-12, 0, 0)])
def test_no_scale_reads_the_same_twice_or_minus_nothing(values):
    said = scale(values)
    assert said
    assert len(set(said)) == len(said)
    assert not [each for each in said if each.startswith(("-0", "\u22120")) and not each.strip("-\u22120.")]


MOMENTS = st.integers(1_600_000_000, 1_800_000_000).map(lambda at: datetime.fromtimestamp(at, UTC))
SPANS = st.one_of(
    *(st.floats(least, most) for least, most in ((0, 0.2), (0.2, 1.2), (1, 5), (4, 60), (60, 400), (400, 4000)))
)


def labels(days, end, zone=UTC):
    """What stands on an axis of time."""
    first, last = end - timedelta(days=days), end
    axis = Figure().subplots()
    time_axis.between(axis, first, last, zone)
    moments = axis.xaxis.get_major_locator()()
    assert all(least <= at <= most for least, most in [axis.get_xlim()] for at in moments)
    return [axis.xaxis.get_major_formatter()(at) for at in moments]


@given(SPANS, MOMENTS, st.sampled_from(ZONES))
def test_no_two_labels_of_the_time_are_the_same_and_there_are_two_to_seven(days, end, zone):
    said = labels(days, end, zone)
    assert 2 <= len(said) <= 7, said
    assert len(set(said)) == len(said), said


@pytest.mark.parametrize(
    ("days", "form"), [(0, "%H:%M"), (0.5, "%H:%M"), (2, "%d %b %H:%M"), (14, "%d %b"), (90, "%d %b"), (365, "%b %Y")]
)
def test_a_label_of_the_time_says_what_tells_it_from_the_others(days, form):
    for each in labels(days, NOW):
        assert time.strftime(form, time.strptime(each, form)) == each


def test_a_chart_over_days_has_a_figure_for_each_day_that_was_measured():
    series = Series("p95", points(*range(14 * 24)), metrics.number)
    chart = over_time.chart("Latency", (series,), UTC)
    assert len(chart.labels) in {14, 15}
    assert chart.labels[1] == "11 Nov"
    day = [value for at, value in series.points if f"{at:%d %b}" == "11 Nov"]
    assert chart.lines[0].values[1] == pytest.approx(sum(day) / len(day))
    assert over_time.chart("Latency", (Series("p95", points(1), str),), UTC) is None
