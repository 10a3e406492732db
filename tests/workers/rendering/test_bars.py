"""Bars beside each other: any name is drawn, and told in words."""

import io

import pytest
from PIL import Image

from workers.rendering import bars, charts
from workers.rendering.bars import Bars


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("load-forecast-eu", "load-forecast-eu"),
        ("ünï $x$ é", "ünï $x$ é"),
        ("日本 🚀\nnew", "·· ··new"),
        ("x" * 50, "x" * 31 + "…"),
        ("", ""),
    ],
)
def test_a_name_is_drawn_as_the_font_can_and_on_one_line(name, drawn):
    assert bars.legible(name) == drawn


@pytest.mark.parametrize(
    "items",
    [(), (("none", 0.0, "0 B"),), tuple((f"日本 {n}", 10.0**n, f"{n} B") for n in range(12))],
    ids=["nothing", "zero", "many"],
)
def test_any_figures_make_a_picture(items):
    drawn = charts.beside(2, lambda ax, _: bars.paint(ax, Bars("By experiment", items)), wide=4.4, high=2.6)
    assert Image.open(io.BytesIO(drawn)).size == (1584, 495)


def test_the_words_name_what_is_drawn_and_no_more():
    shown = Bars("By experiment", tuple((f"e{n}", 1.0, f"{n} B") for n in range(12)))
    said = bars.words(shown)
    assert said.startswith("By experiment: e0 0 B, e1 1 B, ")
    assert "e7 7 B." in said
    assert "e8" not in said
    assert bars.words(Bars("By prefix", ())) == "By prefix: nothing."
