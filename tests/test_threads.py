"""Threads that nobody waits for: answers in order, and an end whatever hangs."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from workers.threads import READERS, Threads, ahead_of, in_order


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


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Holds whoever waits for it, until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_an_error_waits_for_nothing_that_hangs(stuck: threading.Event) -> None:
    """Whoever is interrupted while questions hang goes on at once, and no more are asked."""
    asked = []

    def ask(number: int) -> None:
        asked.append(number)
        if not number:
            raise KeyboardInterrupt
        stuck.wait()

    with pytest.raises(KeyboardInterrupt):
        list(in_order(ask, range(1000)))
    assert not stuck.is_set()
    assert len(asked) <= READERS + 1


def test_after_the_end_nothing_begins(stuck: threading.Event) -> None:
    """What waits when a pool ends is cancelled, and what is submitted later too."""
    with Threads(1, "test") as threads:
        running = threads.submit(stuck.wait)
        waiting = threads.submit(int)
    for future in (waiting, threads.submit(int)):
        with pytest.raises(CancelledError):
            future.result(10)
    stuck.set()
    assert running.result(10)


def test_threads_end_with_their_pool() -> None:
    """Closed or merely forgotten, a pool leaves no idle thread behind."""
    ended = [Threads(3, "of the ended"), Threads(3, "of the forgotten")]
    for threads in ended:
        for future in [threads.submit(int) for _ in range(5)]:
            assert future.result(10) == 0
    left = [one for one in threading.enumerate() if one.name.startswith("of the ")]
    assert len(left) == 6
    ended[0].close()
    del ended, threads
    for thread in left:
        thread.join(10)
        assert not thread.is_alive()


def test_what_is_not_ready_is_none_meanwhile() -> None:
    """Whoever asks never waits: items come in their order, with None between and then the end."""
    next_one = threading.Semaphore(0)

    def slow() -> Iterator[int]:
        for number in (1, 2, 3):
            next_one.acquire()
            yield number
        next_one.acquire()

    items = ahead_of(slow(), 2)
    for number in (1, 2, 3):
        assert next(items) is None
        next_one.release()
        assert next(item for item in items if item is not None) == number
    assert next(items) is None
    next_one.release()
    assert [item for item in items if item is not None] == []


def test_items_are_not_taken_far_ahead() -> None:
    """A window of items is held, and the next one is taken once one of them was given."""
    taken, full = [], threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            if number >= 5:
                full.set()
            yield number

    items = ahead_of(numbers(), 5)
    first = next(item for item in items if item is not None)
    assert first == 0
    assert full.wait(10)
    assert len(taken) <= 6
    assert [item for item in items if item is not None] == list(range(1, 50))


def test_what_items_raise_comes_in_its_place() -> None:
    """After all that came before it."""

    def numbers() -> Iterator[int]:
        yield from range(3)
        raise KeyError

    items = (item for item in ahead_of(numbers(), 10) if item is not None)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(items)


def test_whoever_leaves_lets_the_thread_end() -> None:
    """One that is as far ahead as it may be does not wait for ever."""
    items = ahead_of(iter(range(1000)), 1)
    while next(items) is None:
        pass
    (thread,) = [one for one in threading.enumerate() if one.name == "ahead"]
    items.close()  # type: ignore[attr-defined]
    thread.join(10)
    assert not thread.is_alive()
