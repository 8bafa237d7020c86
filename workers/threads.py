"""Threads that nobody waits for: a process ends though a store, or an image, never answers."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, NoReturn, TypeVar
from weakref import finalize

Item = TypeVar("Item")
Answer = TypeVar("Answer")

READERS = 16

_Waiting = SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None]


class Threads:
    """Up to `count` daemon threads, which do what is submitted in its order.

    At the end of a `with`, or once nobody has the pool any more, what still waits is cancelled, and
    what is submitted later too. What is under way is left behind: Python's own pools join their
    threads, there and at the end of the process, and one of them may hang.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._waiting: _Waiting = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._end = finalize(self, _end, self._waiting, self._threads)
        self._end.atexit = False

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def submit(self, work: Callable[..., Answer], *arguments: Any) -> Future[Answer]:
        """Have `work(*arguments)` done; what it raises is raised where the answer is asked for."""
        future: Future[Answer] = Future()
        with self._lock:
            if not self._end.alive:
                future.cancel()
                return future
            self._waiting.put((future, work, arguments))
            if len(self._threads) < self._count:
                thread = threading.Thread(
                    target=_work, args=(self._waiting,), name=self._name, daemon=True
                )
                self._threads.append(thread)
                thread.start()
        return future

    def close(self) -> None:
        """Cancel what waits, and let each thread end when it is through with what it does."""
        with self._lock:
            self._end()


def _work(waiting: _Waiting) -> None:
    while (one := waiting.get()) is not None:
        future, work, arguments = one
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work(*arguments))
            except BaseException as error:  # noqa: BLE001 - it is the answer
                future.set_exception(error)
        del one, future, work, arguments  # an idle thread holds nothing


def _end(waiting: _Waiting, threads: list[threading.Thread]) -> None:
    while True:
        try:
            one = waiting.get_nowait()
        except Empty:
            break
        if one is not None:
            one[0].cancel()
    for _ in threads:
        waiting.put(None)


def in_order(
    ask: Callable[[Item], Answer], items: Iterable[Item], readers: int = READERS
) -> Iterator[Answer]:
    """`map(ask, items)` by so many threads, of which each is at most one answer ahead.

    What `ask` raises is raised here.
    """
    waiting = iter(items)
    with Threads(readers, "in order") as threads:
        asked = deque(threads.submit(ask, item) for item in islice(waiting, 2 * readers))
        while asked:
            answer = asked.popleft().result()
            asked.extend(threads.submit(ask, item) for item in islice(waiting, 1))
            yield answer


def ahead_of(items: Iterator[Item], window: int) -> Iterator[Item | None]:
    """`items`, taken by a thread that is up to `window` of them ahead; None while none is ready.

    It begins when the first one is asked for. What `items` raise is raised here, in its place.
    """
    ready: SimpleQueue[Item] = SimpleQueue()
    room = threading.Semaphore(window)
    left = False

    def take() -> None:
        while room.acquire() and not left and (item := next(items, None)) is not None:
            ready.put(item)

    with Threads(1, "ahead") as threads:
        taking = threads.submit(take)
        try:
            while True:
                ended = taking.done()  # before the look at what is ready: nothing comes after it
                try:
                    item = ready.get_nowait()
                except Empty:
                    if ended:
                        taking.result()
                        return
                    yield None
                else:
                    room.release()
                    yield item
        finally:
            left = True
            room.release()


def leave(code: int) -> NoReturn:
    """End this process now, and nothing else of it: all that a job began has ended by then.

    While Python winds up, a thread that was left behind in Arrow's code would abort the process.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # Python has its own words, and exit code, for an output that is gone
        sys.exit(code)
    os._exit(code)
