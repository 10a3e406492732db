"""Steps as Slack's own `plan` with its task cards: what would be done, what is being done, and how each step ended.

Which step is in which state is `walk`'s. The trap: a plan takes twelve tasks, so of a long run those that are done are
told in one task, and those that come later in another; a plan of more steps than that is text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from workers.rendering import limits
from workers.rendering.blocks import Block, in_one_line, paragraphs, plain
from workers.rendering.richtext import rich, said
from workers.rendering.walk import State, Step
from workers.wording import count, duration, shortened

TENTHS_BELOW: Final = 10.0
AHEAD: Final = 3
"""So many of the steps to come are shown where not all can be."""


def planned(steps: Sequence[str]) -> list[Block]:
    """What would be done, in order."""
    flat = [_flat(step) for step in steps]
    if not 1 < len(flat) <= limits.TASKS or any(len(step) > limits.TASK_TEXT for step in flat):
        return paragraphs("\n".join(f"{number}. {plain(step)}" for number, step in enumerate(steps, 1)))
    return [_plan(count(len(flat), "step"), [_task(at, step, "pending") for at, step in enumerate(flat, 1)])]


def walked(title: str, steps: Sequence[Step]) -> Block:
    """The steps of a run, in order, each as it stands."""
    first, last = _window(steps)
    tasks = []
    if first:
        seconds = sum(each.seconds or 0.0 for each in steps[:first])
        state: State = "error" if any(each.state == "error" for each in steps[:first]) else "complete"
        tasks.append(_task(0, count(first, "earlier step"), state, duration(seconds)))
    for at, each in enumerate(steps[first:last], first + 1):
        tasks.append(_task(at, each.name, each.state, in_words(each)))
    if last < len(steps):
        tasks.append(_task(last + 1, count(len(steps) - last, "later step"), "pending"))
    return _plan(title, tasks)


def in_words(step: Step) -> str:
    """What is being done of it, or what came of it and how long it took; empty where there is nothing to say."""
    if step.state == "in_progress":
        return step.doing
    took = "" if step.seconds is None else _seconds(step.seconds)
    return " · ".join(filter(None, (step.said, took)))


def _window(steps: Sequence[Step]) -> tuple[int, int]:
    """Which of them have a task each: from, and up to. Before them all have ended, after them none has begun."""
    last = len(steps)
    if last <= limits.TASKS:
        return 0, last
    begun = sum(each.state != "pending" for each in steps)
    if last - begun > AHEAD + 1:
        last = begun + AHEAD
    room = limits.TASKS - (last < len(steps))
    return (0, last) if last <= room else (last - room + 1, last)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < TENTHS_BELOW else duration(seconds)


def _plan(title: str, tasks: list[Block]) -> Block:
    return {"type": "plan", "title": shortened(_flat(title), limits.TASK_TITLE), "tasks": tasks}


def _task(at: int, name: str, state: State, output: str = "") -> Block:
    flat = _flat(name)
    title = shortened(flat, limits.TASK_TITLE)
    made: Block = {"type": "task_card", "task_id": f"step-{at}", "title": title, "status": state}
    if title != flat:
        made["details"] = rich(said(shortened(flat, limits.TASK_TEXT)))
    if output.strip():
        made["output"] = rich(said(shortened(_flat(output), limits.TASK_TEXT)))
    return made


def _flat(text: str) -> str:
    return in_one_line(text) or "…"
