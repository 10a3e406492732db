"""Several things at once: all of them, or the first one's error and an end to the rest."""

import threading
import time
from functools import partial

import pytest

from workers.operation import Cancelled
from workers.operations.side_by_side import side_by_side


def until_stopped(ended, checkpoint):
    try:
        while True:
            checkpoint()
            time.sleep(0.01)
    finally:
        ended.set()


def test_results_are_in_the_order_of_the_calls():
    def call(number, _checkpoint):
        time.sleep((3 - number) / 50)
        return number

    assert side_by_side([partial(call, number) for number in range(4)], lambda: None, 4) == [0, 1, 2, 3]
    assert side_by_side([], lambda: None, 4) == []


def test_no_more_go_on_at_once_than_may():
    going, most, lock = [], [], threading.Lock()

    def call(number, _checkpoint):
        with lock:
            going.append(number)
            most.append(len(going))
        time.sleep(0.02)
        with lock:
            going.remove(number)

    side_by_side([partial(call, number) for number in range(6)], lambda: None, 2)
    assert max(most) == 2


def test_where_one_fails_the_others_end_and_its_error_is_told():
    ended = threading.Event()

    def fail(_checkpoint):
        raise LookupError("the first")

    with pytest.raises(LookupError, match="the first"):
        side_by_side([partial(until_stopped, ended), fail], lambda: None, 2)
    assert ended.is_set()


def test_where_somebody_stops_them_all_end():
    ended = threading.Event()
    looked = []

    def stop():
        looked.append(1)
        if len(looked) == 2:
            raise Cancelled("on the way")

    with pytest.raises(Cancelled, match="on the way"):
        side_by_side([partial(until_stopped, ended)], stop, 1)
    assert ended.is_set()
