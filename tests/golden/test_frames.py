"""What is compared of a report: nothing that moves from one world to another, and every word that does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import grammar
from tests.golden import kept
from tests.golden.frames import alike, frame, of
from workers.errors import OperatorError
from workers.operation import Plan, Risk
from workers.report import Check, Report, Status, Table
from workers.wording import ago, duration, milliseconds, size

SAID = sorted(file.stem for file in kept.SAID.glob("*.json"))
SECONDS = st.floats(0.001, 1e7)
MOVING = {
    "a size": st.floats(0, 2**60).map(size),
    "milliseconds": SECONDS.map(milliseconds),
    "a duration": SECONDS.map(duration),
    "how long ago": st.floats(1, 1e7).map(ago),
    "a number": st.integers(0, 10**9).map(lambda number: f"{number:,}"),
    "a share": st.integers(0, 100).map(lambda share: f"{share} %"),
    "a pod": st.from_regex(r"mlflow-[0-9a-f]{10}-[bcdfghjklmnpqrstvwxz2456789]{5}", fullmatch=True),
    "an id": st.from_regex(r"[0-9a-f]{6,32}", fullmatch=True),
    "a moment": st.datetimes().map(lambda at: f"{at:%a %d %b %H:%M}"),
    "a set": st.datetimes().map(lambda at: f"s3://b/sets/{at:%Y%m%dT%H%M%SZ}-3fa0c1/"),
}


@pytest.mark.parametrize("kind", MOVING)
@given(data=st.data())
def test_what_moves_is_left_out(kind, data):
    one, other = (frame(f"It took {data.draw(MOVING[kind])}, then it was well.") for _ in range(2))
    assert one == other
    assert "then it were well" in one


ALIKE = [
    ("1 good set is there.", "12 good sets are there."),
    ("No restarts.", "3 restarts."),
    ("2 of 2 pods ready; 6 objects in all.", "1 of 3 pods ready; 1 object in all."),
    ("One table has 3 rows.", "65 tables have 1 row."),
]
UNLIKE = [
    ("1 good set is there.", "1 bad set is there."),
    ("3 restarts.", "3 crashes."),
    ("Every pod is a new one, and ready.", "Every pod is a new one."),
    ("mlflow is rolled out", "mlflow is not rolled out"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_a_word_agrees_with_any_figure(one, other):
    assert frame(one) == frame(other)


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_another_word_is_another_frame(one, other):
    assert frame(one) != frame(other)


def schedule(name, due):
    table = Table(columns=("name", "next"), rows=((name, due), ("drill", "Sun 06 Dec 04:00")))
    return Report(title="Schedule", status=Status.OK, summary=f"5 jobs. Next: {name} at {due}.", sections=(table,))


def test_which_of_its_rows_a_report_tells_of_is_left_out():
    assert of(schedule("audit", "Mon 30 Nov 15:45")) == of(schedule("digest", "Tue 01 Dec 08:00"))


def test_which_check_is_the_worst_is_left_out():
    def health(*ill):
        checks = tuple(
            Check(name=name, title=name, status=Status.WARN if name in ill else Status.OK, sentence=f"{name} is ill.")
            for name in (*ill, *({"pods", "logs"} - {*ill}))
        )
        summary = f"{checks[0].sentence.rstrip('.')}."
        return Report(title="Health", status=Status.WARN, summary=summary, checks=checks)

    assert of(health("pods")) == of(health("logs"))


@pytest.mark.parametrize("name", SAID)
def test_each_kept_file_is_like_itself_and_like_nothing_that_says_something_else(name):
    words, said = kept.read(name)
    asked = grammar.parse(words)
    assert alike(asked, said, said)
    assert not alike(asked, OperatorError("Something else."), said)
    match said:
        case Report():
            assert not alike(asked, said.model_copy(update={"title": "Something else"}), said)
            other = said.model_copy(update={"status": Status.UNKNOWN})
            assert alike(asked, other, said) is (asked.risk is Risk.READ)
            if not said.lead:
                assert not alike(asked, said.model_copy(update={"summary": f"Something else: {said.summary}"}), said)
        case Plan():
            assert not alike(asked, said.model_copy(update={"steps": (*said.steps, "Something else")}), said)
            assert not alike(asked, said.model_copy(update={"summary": f"Something else: {said.summary}"}), said)
        case _:
            assert not alike(asked, OperatorError(said.message, "Something else."), said)
