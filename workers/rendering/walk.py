"""What a run has done, step by step, beside what was planned: each step pending, in progress, complete or error.

A run names what it does as it does it, and says of it which planned step it belongs to (`Progress.step`, `of`). What
names none belongs to the planned step that is under way; where none is, it is told as a step of its own. So a planned
step that no run has begun is never told as done: it stays pending, and one for the case that something goes wrong is
left out where nothing did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from workers.wording import count

State = Literal["pending", "in_progress", "complete", "error"]
CONDITIONAL: Final = "If "
"""How a step begins that is planned for what may go wrong."""
OWN: Final = -1
"""The place of a step that was not planned."""


@dataclass(frozen=True)
class Step:
    """A step. said: what came of it; seconds: how long it took, None while it lasts; at: which of those planned it is,
    from 0; doing: what of it is being done.
    """

    name: str
    said: str = ""
    seconds: float | None = None
    state: State = "complete"
    at: int = OWN
    doing: str = ""


@dataclass(frozen=True)
class Ended:
    """How a run went. title: in a few words; steps: as they are told."""

    title: str
    steps: tuple[Step, ...]


class Walk:
    """The steps of one run. planned: its plan's, in order; empty where there is none. goes_on: those before the first
    one that it begins were done by the run before it (see `Later`).
    """

    def __init__(
        self, planned: Sequence[str] = (), *, goes_on: bool = False, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.planned = tuple(planned)
        self._goes_on = goes_on
        self._steps: list[Step] = []
        """In the order in which they began."""
        self._now: int | None = None
        self._last = OWN
        """Which of those planned was begun last."""
        self._monotonic = monotonic
        self._began = monotonic()

    def begin(self, name: str, of: str = "") -> None:
        """Something is being done. of: words of the planned step to which it belongs."""
        at = self._place(of)
        here = OWN if self._now is None else self._steps[self._now].at
        if here != OWN and at in {OWN, here}:
            self._put(doing=name)
            return
        self.ended()
        self._last = at if at != OWN else self._last
        if self._goes_on and at != OWN:
            self._goes_on = False
            self._steps += [Step(planned, at=number) for number, planned in enumerate(self.planned[:at])]
        self._now = next((number for number, each in enumerate(self._steps) if OWN != each.at == at), len(self._steps))
        if self._now == len(self._steps):
            self._steps.append(Step(name if at == OWN else self.planned[at], at=at))
        self._put(state="in_progress", doing="" if at == OWN else name)
        self._began = self._monotonic()

    def said(self, what: str) -> None:
        """What came of the step that is under way, so far."""
        if self._now is not None and what:
            self._put(said=what)

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """The step that is under way has come to its end; there may be none."""
        if self._now is None:
            return
        self.said(said)
        took = (self._steps[self._now].seconds or 0.0) + self._monotonic() - self._began
        self._put(state="complete" if well else "error", doing="", seconds=took)
        self._now = None

    @property
    def begun(self) -> int:
        """How many steps it went through so far, the one that is under way among them."""
        return len(self._steps)

    def steps(self, figure: str = "") -> list[Step]:
        """Those that it went through and those that are planned yet, as they are told. figure: how far it is now."""
        seen = list(self._steps)
        if self._now is not None and figure:
            here = seen[self._now]
            seen[self._now] = replace(here, doing=" · ".join(filter(None, (here.doing, figure))))
        return list(_in_order(self.planned, seen))

    def end(self, why: str = "", how: str = "Failed") -> Ended:
        """The run is over. why: why it did not come to its end; empty if it did. how: in a word."""
        last = len(self._steps) - 1 if self._now is None else self._now
        lasting = self._now is not None
        self.ended()
        steps = list(self._steps)
        wrong = next((number for number, each in enumerate(steps) if each.state == "error"), None)
        if why and steps and (lasting or wrong is None):
            steps[last] = replace(steps[last], state="error", said=why)
        elif why and wrong is not None and not steps[wrong].said:
            steps[wrong] = replace(steps[wrong], said=why)
        told = tuple(_in_order(self.planned, steps))
        done = sum(each.state == "complete" and each.at != OWN for each in told)
        if why:
            return Ended(f"{how} after {done} of {count(len(self.planned), 'step')}", told)
        told = tuple(each for each in told if each.state != "pending" or not each.name.startswith(CONDITIONAL))
        planned = sum(each.at != OWN for each in told)
        if not planned:
            return Ended(f"{count(len(told), 'step')} done", told)
        of = f"{done} of " if done < planned else ""
        return Ended(f"{of}{count(planned, 'step')} done", told)

    def _put(self, **fields: Any) -> None:
        assert self._now is not None
        self._steps[self._now] = replace(self._steps[self._now], **fields)

    def _place(self, of: str) -> int:
        """The first planned step with these words, from the last one on. A plan of one step has nothing else."""
        if len(self.planned) == 1:
            return 0
        if not of:
            return OWN
        those = [number for number, step in enumerate(self.planned) if of.casefold() in step.casefold()]
        return next((number for number in those if number >= self._last), those[0] if those else OWN)


def _in_order(planned: Sequence[str], steps: Sequence[Step]) -> Iterator[Step]:
    """The planned ones as planned; after each, those that were not and followed it."""
    begun = {each.at: each for each in steps if each.at != OWN}
    after: dict[int, list[Step]] = {}
    furthest = OWN
    for each in steps:
        if each.at == OWN:
            after.setdefault(furthest, []).append(each)
        furthest = max(furthest, each.at)
    yield from after.get(OWN, ())
    for at, name in enumerate(planned):
        yield begun.get(at) or Step(name, state="pending", at=at)
        yield from after.get(at, ())
