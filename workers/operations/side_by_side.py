"""Several things at the same time, of which none goes on once another has failed or somebody stopped them.

Trap this avoids: a thread can't be stopped from outside, so each call is given a checkpoint of its own to ask now and
then; what it raises ends the call. The progress of a command is spoken to by the thread that waits, and by no other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Final, TypeVar

from workers.operation import Cancelled

Checkpoint = Callable[[], object]
Result = TypeVar("Result")
LOOK_SECONDS: Final = 0.2


def side_by_side(calls: Sequence[Callable[[Checkpoint], Result]], checkpoint: Checkpoint, at_once: int) -> list[Result]:
    """What each call returns, in their order; at most so many go on `at_once`.

    checkpoint: is called while they do. Raises what it, or the first call that fails, raises, once all have ended.
    """
    stop = threading.Event()

    def go_on() -> None:
        if stop.is_set():
            raise Cancelled

    with ThreadPoolExecutor(max(1, min(at_once, len(calls))), thread_name_prefix="side-by-side") as pool:
        every = [pool.submit(each, go_on) for each in calls]
        going = set(every)
        try:
            while going:
                done, going = wait(going, LOOK_SECONDS, FIRST_EXCEPTION)
                for each in done:
                    each.result()
                checkpoint()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [each.result() for each in every]
