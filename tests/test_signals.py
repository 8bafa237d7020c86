"""Stop signals: counted, ignored, and given back to whoever had them."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from workers import signals


@pytest.fixture(autouse=True)
def interrupting() -> Iterator[None]:
    """Both signals raise KeyboardInterrupt, as in a job."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", signals.STOP)
def test_counted_signals_do_nothing_else(number: signal.Signals) -> None:
    """Inside they are counted; afterwards they interrupt again."""
    with signals.counted() as received:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert received() == 2
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


@pytest.mark.parametrize("number", signals.STOP)
def test_ignored_signals_are_gone(number: signal.Signals) -> None:
    """Inside they do nothing, and what came inside does nothing later."""
    with signals.ignored():
        os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_an_exit_that_a_taken_signal_asks_for_is_an_interrupt() -> None:
    """A handler that ends the process by the signal's number is undone, and its exit with it."""

    def exit_at_once(number: int, frame: object) -> None:
        sys.exit(number)

    with pytest.raises(KeyboardInterrupt), signals.restored():
        signal.signal(signal.SIGTERM, exit_at_once)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


def test_any_other_exit_is_one() -> None:
    """A SystemExit that no signal asked for goes its way."""
    with pytest.raises(SystemExit), signals.restored():
        sys.exit(1)


class Deaf:
    """Gets a signal where Python swallows what a handler raises."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", signals.STOP)
def test_a_signal_that_was_swallowed_interrupts_at_the_end(number: signal.Signals) -> None:
    """What a handler raises where nobody sees it, as while Python forks, still interrupts."""
    reached = []
    with pytest.raises(KeyboardInterrupt), signals.none_lost():
        Deaf(number)
        reached.append("the end")
    assert reached
    with signals.none_lost():
        pass  # what came before does not count
