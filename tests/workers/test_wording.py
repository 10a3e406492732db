"""One thing is, several are: a sentence agrees with what it counts. And what is rounded is rounded into its unit."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import wording

ROOT = Path(wording.__file__).parents[1]
FIXED = re.compile(r"\{(?:count|listed)\((?:[^{}]|\{[^{}]*\})*\)\} (?:are|were|have|wait|stay|need)\b")
OF_SEVERAL = ("of {count(", "experiments of {count(", "of all {count(", "in {count(")
"""Before it stands what the verb belongs to."""


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 runs are gone"), (1, "1 run is gone"), (2, "2 runs are gone"), (1234, "1,234 runs are gone")],
)
def test_a_count_has_its_verb(number, said):
    assert f"{wording.count(number, 'run', 'are')} gone" == said


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a"], "a waits"), (["a", "b"], "a, b wait"), (list("abcde"), "a, b, c and 2 more wait")],
)
def test_so_has_a_list(names, said):
    assert wording.listed(names, "wait") == said


def test_no_sentence_of_the_product_has_a_fixed_verb_behind_a_count():
    found = [
        (str(file.relative_to(ROOT)), hit.group())
        for package in ("bot", "commands", "workers")
        for file in (ROOT / package).rglob("*.py")
        for text in [file.read_text(encoding="utf-8")]
        for hit in FIXED.finditer(text)
        if not any(text[: hit.start() + len("{count(")].endswith(each) for each in OF_SEVERAL)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1023.6, "1.0 KiB"),
        (99.96 * 1024, "100 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**5 - 1, "1.0 PiB"),
        (-(1024**2) + 1, "-1.0 MiB"),
    ],
)
def test_a_size_is_in_the_unit_that_it_rounds_to(number, said):
    assert wording.size(number) == said


@given(st.floats(0, 1024**5 - 1))
def test_no_size_is_1024_of_its_unit_or_has_a_decimal_too_many(number):
    amount, _, unit = wording.size(number).partition(" ")
    assert float(amount) < 1024
    assert len(amount.replace(".", "")) <= (4 if unit == "B" or float(amount) >= 1000 else 3)


@given(st.floats(0, 100))
def test_below_ten_milliseconds_there_is_one_decimal(seconds):
    amount = wording.milliseconds(seconds).removesuffix(" ms").replace(",", "")
    assert ("." in amount) == (float(amount) < 10)
