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
