"""One thing is, several are: a sentence agrees with what it counts."""

import re
from pathlib import Path

import pytest

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
