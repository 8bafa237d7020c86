"""SIGTERM and Ctrl-C: who hears them, and when. All of it is for a process's main thread."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Inside, a stop signal does nothing but count; yields how many came."""
    received = 0

    def note(number: int, frame: object) -> None:
        nonlocal received
        received += 1

    with restored():
        for number in STOP:
            signal.signal(number, note)
        yield lambda: received


@contextmanager
def ignored() -> Iterator[None]:
    """Inside, a stop signal does nothing."""
    with restored():
        for number in STOP:
            signal.signal(number, signal.SIG_IGN)
        yield


@contextmanager
def none_lost() -> Iterator[None]:
    """A stop signal whose exception Python swallowed inside interrupts at the end.

    It does so while it forks, as for each process that Ray starts, and tells it to the hook alone.
    """
    swallowed = False
    before = sys.unraisablehook

    def note(unraisable: sys.UnraisableHookArgs) -> None:
        nonlocal swallowed
        if issubclass(unraisable.exc_type, KeyboardInterrupt | SystemExit):
            swallowed = True
        else:
            before(unraisable)

    sys.unraisablehook = note
    try:
        yield
    finally:
        sys.unraisablehook = before
    if swallowed:
        raise KeyboardInterrupt


@contextmanager
def restored() -> Iterator[None]:
    """Whatever is done to the handlers inside, the ones of before come back.

    A handler that was put there meanwhile and ends the process by `sys.exit(signal)`, as Ray's does
    from `ray.init` on, raises KeyboardInterrupt in its place.
    """
    before = {number: signal.getsignal(number) for number in STOP}
    try:
        yield
    except SystemExit as end:
        if end.code in STOP:
            raise KeyboardInterrupt from end
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
