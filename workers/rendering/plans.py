"""Steps as Slack's own `plan` with its task cards: what would be done, what is being done, and how each step ended.

A plan's steps and the steps that a run goes through are not the same list: a run names what it does as it does it, and
what it did not reach is not shown as done. The trap: a plan takes twelve tasks, so of a long run the first ones are
told in one line, and a plan of more steps than that is text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from workers.rendering import limits
from workers.rendering.blocks import Block, in_one_line, paragraphs, plain
from workers.rendering.richtext import rich, said
from workers.wording import count, duration, shortened

State = Literal["pending", "in_progress", "complete", "error"]
TENTHS_BELOW: Final = 10.0


@dataclass(frozen=True)
class Step:
    """What a run did, or does. figure: how far it came; seconds: how long it took, None while it lasts."""

    name: str
    figure: str = ""
    seconds: float | None = None
    state: State = "complete"


def planned(steps: Sequence[str]) -> list[Block]:
    """What would be done, in order."""
    flat = [_flat(step) for step in steps]
    if not 1 < len(flat) <= limits.TASKS or any(len(step) > limits.TASK_TEXT for step in flat):
        return paragraphs("\n".join(f"{number}. {plain(step)}" for number, step in enumerate(steps, 1)))
    return [_plan(count(len(flat), "step"), [_task(at, step, "pending") for at, step in enumerate(flat, 1)])]


def walked(title: str, steps: Sequence[Step]) -> Block:
    """What a run did so far, the latest step last."""
    room = limits.TASKS - 1
    shown = steps[-room:] if len(steps) > limits.TASKS else steps
    tasks = []
    if len(shown) < len(steps):
        earlier = steps[: len(steps) - len(shown)]
        seconds = sum(each.seconds or 0.0 for each in earlier)
        tasks.append(_task(0, count(len(earlier), "earlier step"), "complete", duration(seconds)))
    first = len(steps) - len(shown) + 1
    for at, each in enumerate(shown, first):
        took = "" if each.seconds is None else _seconds(each.seconds)
        tasks.append(_task(at, each.name, each.state, " · ".join(filter(None, (each.figure, took)))))
    return _plan(title, tasks)


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
