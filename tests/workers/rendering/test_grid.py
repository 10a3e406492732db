"""A table in a window of any width: what identifies a row is whole, and what has no room is named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.rendering import grid
from workers.report import Table
from workers.wording import NOTHING, Figure, moment, size

NAME = "load-forecast-eu-central-hourly-v2"
ID = "0b41f7d2a9c04c6e8a1f2b3c4d5e6f70"
TABLE = Table(
    columns=("run", "id", "status", "started", "took", "val/rmse", "why it ended"),
    rows=(
        (NAME, ID, "FINISHED", moment(1764460800), Figure("3 h 5 min", 11100, "seconds"), "0.0123457", NOTHING),
        (
            "b",
            ID[::-1],
            "FAILED",
            moment(1764460800),
            NOTHING,
            NOTHING,
            "the loss was not a number after so many steps",
        ),
    ),
    numeric=("took", "val/rmse"),
    spare=("val/rmse", "status"),
)


def shown(made):
    return ["  ".join(line).rstrip() for line in made.lines]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200, None])
def test_names_and_ids_are_whole_at_every_width(width):
    told = "\n".join(shown(grid.fitted(TABLE, width)))
    for whole in (NAME, ID, ID[::-1]):
        assert whole in told
    assert "…" not in told


def test_columns_go_by_their_importance_and_the_spare_ones_first():
    gone = []
    for width in range(200, 20, -1):
        gone += [name for name in grid.fitted(TABLE, width).left_out if name not in gone]
    assert gone == ["val/rmse", "status", "why it ended", "took", "started"]


def test_prose_goes_on_below_itself_and_a_moment_never_does():
    lines = shown(grid.fitted(TABLE, 150))
    assert len(lines) > 3, "the last sentence has a second line"
    assert sum("2025-11-30 00:00 UTC" in line for line in lines) == 2
    assert " ".join(line[lines[0].index("why it ended") :] for line in lines[2:]) == TABLE.rows[1][6]


def test_in_a_pipe_a_row_is_a_line():
    rows = (("a\nb", "x" * 500, size(1)), ("\x1b[31mred", "y z " * 200, size(2048)))
    lines = shown(grid.fitted(Table(columns=("one", "two", "size"), rows=rows)))
    assert len(lines) == 3
    assert "a b" in lines[1]
    assert "\x1b" not in "".join(lines)


def test_wide_characters_stand_in_their_columns():
    rows = (("予測モデル", "1"), ("abc", "2"))
    lines = grid.fitted(Table(columns=("name", "n"), rows=rows)).lines
    assert {grid.places(cells[0]) for cells in lines} == {10}


cells = st.text(max_size=60)
numbers = st.builds(size, st.integers(0, 1 << 50))


@given(st.data(), st.integers(1, 6), st.integers(0, 5), st.one_of(st.none(), st.integers(10, 160)))
def test_nothing_that_is_shown_is_cut(data, columns, rows, width):
    names = tuple(f"column {number}" for number in range(columns))
    table = Table(
        columns=names,
        rows=tuple(tuple(data.draw(st.one_of(cells, numbers)) for _ in names) for _ in range(rows)),
        numeric=tuple(data.draw(st.sets(st.sampled_from(names)))),
        spare=tuple(data.draw(st.lists(st.sampled_from(names), unique=True))),
    )
    made = grid.fitted(table, width)
    there = [name for name in names if name not in made.left_out]
    assert names[0] in there
    for place, name in enumerate(there):
        at = names.index(name)
        column = re.sub(r"\s", "", "".join(line[place] for line in made.lines))
        assert column == re.sub(r"\s", "", "".join(grid.flat(row[at]) for row in (table.columns, *table.rows)))
    if width is None:
        assert made.left_out == ()
        assert len(made.lines) == rows + 1
