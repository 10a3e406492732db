"""A run's steps beside those that were planned: nothing is told as done that no run has begun."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.records.record import Ending, Phase, Record
from workers.rendering import limits, plans, thread
from workers.rendering import message as render
from workers.rendering.walk import OWN, Walk

PLAN = ("Set the image", "Wait until every pod is a new one", "Ask MLflow", "If they don't come up: put it back")


def walk(*planned, **more):
    clock = itertools.count()
    return Walk(planned, monotonic=lambda: float(next(clock)), **more)


def states(steps):
    return [(each.name, each.state) for each in steps]


def test_a_planned_step_goes_from_pending_to_in_progress_to_complete():
    made = walk(*PLAN[:3])
    assert states(made.steps()) == [(name, "pending") for name in PLAN[:3]]
    made.begin("Rolling out v3", of="Set the image")
    made.begin("Waiting for the new pods", of="Wait until")
    assert [state for _, state in states(made.steps())] == ["complete", "in_progress", "pending"]
    assert made.steps("1 of 2 pods ready")[1].doing == "Waiting for the new pods · 1 of 2 pods ready"
    made.said("2 of 2 pods ready")
    made.begin("Asking MLflow", of="Ask MLflow")
    assert made.steps()[1].said == "2 of 2 pods ready"
    assert states(made.end().steps) == [(name, "complete") for name in PLAN[:3]]
    assert made.end().title == "3 steps done"


def test_what_names_no_step_belongs_to_the_one_under_way_and_before_any_it_is_told_by_itself():
    made = walk(*PLAN[:2])
    made.begin("Choosing the pods")
    made.begin("Rolling out", of="set the image")
    made.begin("Something of it")
    assert states(made.steps()) == [
        ("Choosing the pods", "complete"),
        (PLAN[0], "in_progress"),
        (PLAN[1], "pending"),
    ]
    assert made.steps()[1].doing == "Something of it"


def test_what_is_put_back_is_told_as_such_and_the_step_that_failed_too():
    made = walk(*PLAN)
    made.begin("Rolling out", of="Set the image")
    made.begin("Waiting", of="Wait until")
    made.ended("the image cannot be pulled", well=False)
    made.begin("Putting it back", of="If they don't come up")
    made.ended("")
    ended = made.end("v3 does not come up; the image is back.")
    assert [state for _, state in states(ended.steps)] == ["complete", "error", "pending", "complete"]
    assert ended.steps[1].said == "the image cannot be pulled"
    assert ended.title == "Failed after 2 of 4 steps"


def test_a_failure_marks_the_step_in_which_it_happened_and_those_after_it_stay_pending():
    made = walk(*PLAN[:3])
    made.begin("Rolling out", of="Set the image")
    made.begin("Waiting", of="Wait until")
    ended = made.end("It was not ready within 600 s.")
    assert [state for _, state in states(ended.steps)] == ["complete", "error", "pending"]
    assert ended.steps[1].said == "It was not ready within 600 s."


def test_what_was_planned_for_a_failure_is_left_out_where_there_was_none():
    made = walk(*PLAN)
    for name in PLAN[:3]:
        made.begin(name, of=name)
    ended = made.end()
    assert ended.title == "3 steps done"
    assert len(ended.steps) == 3


def test_what_is_yet_to_come_once_the_run_is_over_stays_pending():
    made = walk("Start it", "Remove it after an hour")
    made.begin("Starting", of="Start it")
    ended = made.end()
    assert ended.title == "1 of 2 steps done"
    assert [each.state for each in ended.steps] == ["complete", "pending"]


def test_what_goes_on_elsewhere_has_those_before_it_done():
    made = walk("Open a pull request", "Follow it until it is merged", "Watch the pods", goes_on=True)
    made.begin("Waiting until it is merged", of="Follow it")
    assert [each.state for each in made.steps()] == ["complete", "in_progress", "pending"]


def test_equal_words_are_of_the_next_one():
    made = walk("Make a", "Compare its tables", "Make b", "Compare its tables")
    for name in ("Make a", "Compare its tables", "Make b", "Compare its tables"):
        made.begin(name, of=name)
    assert [each.state for each in made.steps()] == ["complete", "complete", "complete", "in_progress"]


does = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from(["", *"abcdefgh", "unknown"])),
    st.tuples(st.just("ended"), st.booleans()),
)


@given(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8), st.lists(does, max_size=30), st.booleans())
def test_whatever_happens_nothing_is_told_as_done_that_was_not_begun(planned, doing, well):
    made, begun = walk(*planned), set()
    for what, how in doing:
        if what == "ended":
            made.ended(well=how)
        else:
            made.begin(f"doing {how}", of=how)
            begun |= {planned[0]} if len(planned) == 1 else {how}
        steps = made.steps()
        assert [each.name for each in steps if each.at != OWN] == planned
        assert all(each.name in begun for each in steps if each.at != OWN and each.state != "pending")
        assert sum(each.state == "in_progress" for each in steps) <= 1
        assert not limits.refused(render.under_way("x", "U0OLEG", "doing", "", made).blocks)
    ended = made.end("" if well else "It broke.")
    assert "in_progress" not in {each.state for each in ended.steps}
    assert {each.name for each in ended.steps if each.state == "complete"} <= {
        *begun,
        *(f"doing {how}" for _, how in doing),
    }
    if not well and made.begun:
        assert "error" in {each.state for each in ended.steps}
    assert not limits.refused([plans.walked(ended.title, ended.steps)])


@pytest.mark.parametrize("planned", [0, 2, 12, 13, 200])
@pytest.mark.parametrize("done", [1, 11, 12, 13, 199])
def test_many_steps_stay_within_what_a_plan_takes_and_the_one_under_way_is_seen(planned, done):
    made = walk(*(f"step {number}." for number in range(planned)))
    for number in range(done):
        made.begin(f"doing {number}.", of=f"step {number}.")
    block = plans.walked("Vacuum", made.steps())
    assert not limits.refused([block])
    assert sum(task["status"] == "in_progress" for task in block["tasks"]) == 1


@pytest.mark.parametrize("phase", [Phase.DONE, Phase.FAILED, Phase.CANCELLED])
def test_a_change_that_has_ended_tells_its_steps_and_a_read_does_not(phase):
    about = {"operation": "backup", "arguments": {}, "words": "backup", "requester": "U0OLEG", "channel": "C0OPS"}
    made = walk("One", "Two")
    made.begin("One", of="One")
    (told,) = thread.walked(Record(**about, plan={"steps": ["One", "Two"]}), made, Ending(phase, "The lock is held."))
    assert ("The lock is held." in told.body) is (phase is Phase.FAILED)
    assert ("Stopped after" in told.body) is (phase is Phase.CANCELLED)
    assert ("1 of 2 steps done" in told.body) is (phase is Phase.DONE)
    assert not thread.walked(Record(**about), made, Ending(phase, "")), "it only read"
    assert not thread.walked(Record(**about, plan={"steps": ["One", "Two"]}), walk("One", "Two"), Ending(phase, "x"))
