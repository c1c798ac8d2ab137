"""Batches made ahead are those made when they are needed."""

import threading
import time

import pytest

from panodiff.training.batches import Batches


@pytest.mark.parametrize("ahead", [0, 1, 4, 50])
def test_each_step_gets_its_own_batch_whatever_is_made_ahead(ahead: int):
    def make(step: int) -> list[int]:
        time.sleep(0.001 * (step % 3))
        return [step, -step]

    with Batches(make, range(5, 25), ahead=ahead, workers=3) as batches:
        assert [batches.of(step) for step in range(5, 25)] == [[step, -step] for step in range(5, 25)]


def test_no_more_is_made_ahead_than_asked_and_nothing_beyond_the_end():
    made = []
    with Batches(lambda step: made.append(step) or [step], range(10), ahead=3, workers=1) as batches:
        batches.of(0)
        time.sleep(0.1)
        assert made == [0, 1, 2, 3]
        for step in range(1, 10):
            batches.of(step)
    assert made == list(range(10))


def test_the_next_batches_are_made_while_one_is_worked_on():
    names = set()
    with Batches(lambda step: names.add(threading.current_thread().name) or [step], range(4), ahead=2, workers=1) as b:
        b.of(0)
    assert threading.current_thread().name not in names


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_in_making_one_is_raised_where_it_is_asked_for(ahead: int):
    def make(step: int) -> list[int]:
        if step == 2:
            raise ValueError("no such image")
        return [step]

    with Batches(make, range(5), ahead=ahead, workers=2) as batches:
        batches.of(0)
        batches.of(1)
        with pytest.raises(ValueError, match="no such image"):
            batches.of(2)
