"""Work ahead: in order, within bounds, past what never ends."""

import threading
from collections.abc import Iterator

import pytest

from workers.ahead import Ahead, Budget


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Holds whoever waits for it, until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_work_ahead_stays_within_its_window() -> None:
    """At most `window` items are begun beyond the one that is asked for, and order is kept."""
    lock, begun, taken = threading.Lock(), 0, 0

    def work(item: int) -> int:
        nonlocal begun
        with lock:
            begun += 1
            assert begun - taken <= 3 + 1
        return item * item

    answers = Ahead(work, lambda item: -1, threads=4, window=3, seconds=60).in_order(range(50))
    assert begun == 0
    for expected, answer in enumerate(answers):
        assert answer == expected**2
        with lock:
            taken += 1
    assert begun == 50


@pytest.mark.parametrize("hanging", [{0}, {3}, {9}, {2, 3}, {1, 2, 3, 4, 5}, set(range(10))])
def test_what_never_ends_costs_itself_alone(hanging: set[int], stuck: threading.Event) -> None:
    """However many hang, and though they hold every thread, all others are answered in order."""

    def work(item: int) -> int:
        if item in hanging:
            stuck.wait()
        return item

    ahead = Ahead(work, lambda item: -1, threads=2, window=4, seconds=0.01)
    answers = list(ahead.in_order(range(10)))
    assert answers == [-1 if item in hanging else item for item in range(10)]
    assert ahead.abandoned == len(hanging)
    assert list(ahead.in_order(range(20, 25))) == list(range(20, 25))


def test_what_is_asked_for_in_between_is_answered(stuck: threading.Event) -> None:
    """Though items of those that are under way already hold every thread."""

    def work(item: int) -> int:
        if item in (1, 2, 3):
            stuck.wait()
        return item

    ahead = Ahead(work, lambda item: -1, threads=2, window=4, seconds=0.2)
    answers = ahead.in_order(range(6))
    assert next(answers) == 0
    assert list(ahead.in_order([77])) == [77]
    assert list(answers) == [-1, -1, -1, 4, 5]


def test_what_hangs_gives_back_what_it_held(stuck: threading.Event) -> None:
    """An item that never ends and holds all of a budget takes none with it that wait for some."""
    budget = Budget(10)

    def work(item: int) -> int:
        with budget.hold(10 if item == 2 else 1):
            if item == 2:
                stuck.wait()
        return item

    ahead = Ahead(work, lambda item: -1, threads=4, window=8, seconds=0.3)
    assert list(ahead.in_order(range(20))) == [0, 1, -1, *range(3, 20)]
    assert ahead.abandoned == 1


def test_to_wait_for_a_budget_is_not_to_hang() -> None:
    """Two items that one budget lets in one after the other have `seconds` each."""
    seconds, now = 0.01, 0.0
    budget = Budget(10)
    first_holds, second_comes, looked_at = threading.Event(), threading.Event(), threading.Event()

    def clock() -> float:
        if now > seconds and threading.current_thread() is threading.main_thread():
            looked_at.set()
        return now

    def work(item: int) -> int:
        nonlocal now
        if item == 1:
            first_holds.wait()
            second_comes.set()
        with budget.hold(10):
            first_holds.set()
            second_comes.wait()
            now += 0.9 * seconds
            if item == 1:
                looked_at.wait()
        return item

    ahead = Ahead(work, lambda item: -1, threads=2, window=2, seconds=seconds, clock=clock)
    assert list(ahead.in_order(range(2))) == [0, 1]


def test_what_work_raises_is_raised_where_it_is_asked_for() -> None:
    """And not before: the answers in front of it come."""

    def work(item: int) -> int:
        if item == 2:
            raise KeyError(item)
        return item

    answers = Ahead(work, lambda item: -1, threads=2, window=4, seconds=60).in_order(range(5))
    assert [next(answers), next(answers)] == [0, 1]
    with pytest.raises(KeyError):
        next(answers)


def test_a_budget_is_never_overdrawn() -> None:
    """Threads wait for what others hold; what is larger than all goes alone."""
    budget, lock, held, most = Budget(10), threading.Lock(), 0, 0

    def use(size: int) -> None:
        nonlocal held, most
        with budget.hold(size):
            with lock:
                held += size
                most = max(most, held)
            with lock:
                held -= size

    threads = [threading.Thread(target=use, args=(size,)) for size in (3, 4, 5, 6, 7, 50) * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == 0
    assert most in (*range(7, 11), 50)
