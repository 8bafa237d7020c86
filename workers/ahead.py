"""Reading and decoding ahead of the model: in order, within bounds, past what never ends."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")

POLL_SECONDS = 1.0
"""How often one that waits looks at the clock."""


@dataclass(slots=True)
class _Begun(Generic[Item, Done]):
    """One item on its way."""

    item: Item
    started_at: float | None = None
    given_up: bool = False
    future: Future[Done] = field(init=False)


class Ahead(Generic[Item, Done]):
    """`work(item)` in threads, ahead of whoever asks for the answers.

    An item that takes longer than `seconds` is given up: its thread is left behind, since nothing
    ends a thread, and `abandoned` counts it.
    """

    def __init__(
        self,
        work: Callable[[Item], Done],
        give_up: Callable[[Item], Done],
        threads: int,
        window: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`give_up` makes the answer for an item that does not come to an end."""
        self._work = work
        self._give_up = give_up
        self._threads = threads
        self._window = window
        self._seconds = seconds
        self._clock = clock
        self._pool = self._new_pool()
        self.abandoned = 0

    def in_order(self, items: Iterable[Item]) -> Iterator[Done]:
        """The answer to each of `items`, in their order.

        Nothing begins before the first answer is asked for; then at most `window` items beyond the
        one that is asked for. What `work` raises is raised here.
        """
        waiting = iter(items)
        begun: deque[_Begun[Item, Done]] = deque()
        try:
            begun.extend(map(self._begin, islice(waiting, self._window)))
            while begun:
                first = begun.popleft()
                begun.extend(map(self._begin, islice(waiting, 1)))
                yield self._answer(first, begun)
        finally:
            for one in begun:
                one.future.cancel()

    def _begin(self, item: Item) -> _Begun[Item, Done]:
        one: _Begun[Item, Done] = _Begun(item)
        one.future = self._pool.submit(self._run, one)
        return one

    def _run(self, one: _Begun[Item, Done]) -> Done:
        one.started_at = self._clock()
        return self._work(one.item)

    def _answer(self, one: _Begun[Item, Done], begun: Iterable[_Begun[Item, Done]]) -> Done:
        # all of them are watched: items that come later may hold every thread that there is
        while (
            not one.given_up
            and not wait((one.future,), timeout=min(POLL_SECONDS, self._seconds)).done
        ):
            self._give_up_what_hangs([one, *begun])
        return self._give_up(one.item) if one.given_up else one.future.result()

    def _give_up_what_hangs(self, begun: list[_Begun[Item, Done]]) -> None:
        """Leave its threads where they are, and give what has not begun fresh ones."""
        hanging = [one for one in begun if self._hangs(one)]
        if not hanging:
            return
        for one in hanging:
            one.given_up = True
        self.abandoned += len(hanging)
        self._pool.shutdown(wait=False)
        self._pool = self._new_pool()
        for one in begun:
            if one.future.cancel():
                one.future = self._pool.submit(self._run, one)

    def _hangs(self, one: _Begun[Item, Done]) -> bool:
        if one.started_at is None or one.given_up or one.future.done():
            return False
        return self._clock() - one.started_at > self._seconds

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="reader")


class Budget:
    """Bytes that several threads may hold together; one that wants more than all waits until it is
    alone.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._left = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes are free, and hold them."""
        size = min(size, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()
