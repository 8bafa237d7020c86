"""Many questions at once, the answers in order."""

import threading
from collections.abc import Iterator

import pytest

from workers.plan.threads import READERS, in_order


def test_answers_come_in_the_order_of_the_questions() -> None:
    """The first question is answered last, and its answer still comes first."""
    last = threading.Event()

    def ask(number: int) -> int:
        if number == READERS - 1:
            last.set()
        assert number or last.wait(10)
        return number * number

    assert list(in_order(ask, range(100))) == [number * number for number in range(100)]


def test_questions_are_not_asked_far_ahead() -> None:
    """However many there are, few are held at a time."""
    taken = []

    def numbers() -> Iterator[int]:
        for number in range(10_000):
            taken.append(number)
            yield number

    answers = in_order(lambda number: number, numbers())
    assert next(answers) == 0
    assert len(taken) <= 2 * READERS + 1


def test_an_error_comes_in_its_place_and_ends_the_questions() -> None:
    """What goes wrong with a question is raised where its answer would be."""

    def ask(number: int) -> int:
        if number == 3:
            raise KeyError(number)
        return number

    answers = in_order(ask, range(1000))
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(answers)
