"""Progress in a window is a bar that leaves nothing behind; in a file it is lines, and none for what is quick."""

import threading
from io import StringIO

import pytest

from bot.process.progress import LINE_SECONDS, QUIET_SECONDS, TerminalProgress
from workers.operation import Cancelled, Plan


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Window(StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


def test_a_quick_read_leaves_no_line_in_a_file(clock):
    page = StringIO()
    with TerminalProgress(stream=page, monotonic=clock) as progress:
        progress.step("Reading")
        progress.advance(1, 2, "sets")
    assert page.getvalue() == ""


def test_a_long_one_has_a_line_a_step_and_one_now_and_then(clock):
    page = StringIO()
    with TerminalProgress(stream=page, monotonic=clock) as progress:
        progress.step("Listing")
        clock.now += QUIET_SECONDS
        for done in range(1, 31):
            progress.advance(done * 100, 3000, "objects")
            clock.now += 1
        progress.step("Adding up")
    lines = page.getvalue().splitlines()
    assert lines[0] == "Listing: 100 of 3,000 objects"
    assert lines[-1] == "Adding up …"
    assert len(lines) == 2 + 29 // int(LINE_SECONDS)
    assert lines[1].endswith("objects/s, 21 s left")
    assert "\x1b" not in page.getvalue()


def test_a_change_says_each_step_in_a_file(clock):
    page = StringIO()
    with TerminalProgress(stream=page, quiet_seconds=0, monotonic=clock) as progress:
        progress.step("Dumping")
        progress.step("Uploading")
    assert page.getvalue() == "Dumping …\nUploading …\n"


def test_a_window_has_a_bar_with_its_rate_and_is_empty_again(clock):
    window = Window()
    with TerminalProgress(stream=window, monotonic=clock) as progress:
        progress.step("Reading")
        assert "Reading …" in window.getvalue()
        progress.advance(1, 10, "sets")
        assert "sets" not in window.getvalue(), "a bar that is gone at once would only flicker"
        clock.now += 5
        progress.advance(5, 10, "sets")
        progress.step("Adding up")
        progress.advance(7, 0, "sets")
    shown = window.getvalue()
    assert "5 of 10 sets · 1 sets/s, 5 s left" in shown
    assert "7 sets so far" in shown
    assert shown.rstrip("\r").endswith("\x1b[2K"), "the line is cleared"


def test_it_hears_that_it_is_to_stop(clock):
    stop = threading.Event()
    progress = TerminalProgress(stop, stream=StringIO(), monotonic=clock)
    progress.checkpoint()
    stop.set()
    with pytest.raises(Cancelled):
        progress.checkpoint()


PLAN = Plan(
    title="Update",
    summary="to v3",
    steps=("Set the image", "Wait until every pod is new", "Ask MLflow", "If they don't come up: put it back"),
)


@pytest.mark.parametrize("page", [StringIO(), Window()], ids=["file", "window"])
def test_each_planned_step_has_a_line_once_it_has_ended_and_the_rest_at_the_end(clock, page):
    with TerminalProgress(stream=page, quiet_seconds=0, monotonic=clock) as progress:
        progress.planned(PLAN)
        progress.step("Rolling out", of="Set the image")
        clock.now += 0.3
        progress.step("Waiting", of="Wait until")
        progress.advance(2, 2, "pods ready")
        clock.now += 2
        progress.step("Asking MLflow", of="Ask MLflow")
        progress.over("v2 answers.")
    told = [line.rpartition("\x1b[2K")[2] for line in page.getvalue().splitlines()]
    assert [line for line in told if line.startswith(("✓", "✗", "-"))] == [
        "✓ Set the image  0.3 s",
        "✓ Wait until every pod is new  2 of 2 pods ready · 2.0 s",
        "✗ Ask MLflow  v2 answers. · 0.0 s",
        "- If they don't come up: put it back",
    ]


def test_what_went_well_leaves_no_line_of_what_was_planned_for_a_failure(clock):
    page = StringIO()
    with TerminalProgress(stream=page, monotonic=clock) as progress:
        progress.planned(PLAN)
        for name in PLAN.steps[:3]:
            progress.step(name, of=name)
        progress.over()
        progress.step("Reading")
    assert page.getvalue() == "".join(f"✓ {name}  0.0 s\n" for name in PLAN.steps[:3])
