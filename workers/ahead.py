"""Reading and decoding ahead of the model: in order, within bounds, past what never ends."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from workers.threads import Threads

Item = TypeVar("Item")
Done = TypeVar("Done")

POLL_SECONDS = 1.0
"""How often one that waits looks at the clock."""


_here = threading.local()
"""`one`: the item at which this thread is, if it works ahead."""


@dataclass(slots=True, eq=False)
class _Begun(Generic[Item, Done]):
    """One item on its way."""

    item: Item
    clock: Callable[[], float]
    at_work_since: float | None = None
    """None while it waits: for a thread, or for a budget."""
    give_back: list[Callable[[], None]] = field(default_factory=list)
    """What it held of budgets, and may hold still."""
    given_up: bool = False
    future: Future[Done] = field(init=False)


class Ahead(Generic[Item, Done]):
    """`work(item)` in threads, ahead of whoever asks for the answers.

    An item that takes longer than `seconds`, without what it waits for a Budget, is given up: its
    thread is left behind, since nothing ends a thread, and `abandoned` counts it.
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
        self._begun: dict[_Begun[Item, Done], None] = {}
        """All that nobody has the answer to, in their order."""
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
                begun.extend(map(self._begin, islice(waiting, 1)))
                answer = self._answer(begun[0])
                self._begun.pop(begun.popleft())
                yield answer
        finally:
            for one in begun:
                one.future.cancel()
                self._begun.pop(one)

    def _begin(self, item: Item) -> _Begun[Item, Done]:
        one: _Begun[Item, Done] = _Begun(item, self._clock)
        one.future = self._pool.submit(self._run, one)
        self._begun[one] = None
        return one

    def _run(self, one: _Begun[Item, Done]) -> Done:
        _here.one = one
        one.at_work_since = self._clock()
        return self._work(one.item)

    def _answer(self, one: _Begun[Item, Done]) -> Done:
        # all of them are watched: others may hold every thread, or all of a budget
        while (
            not one.given_up
            and not wait((one.future,), timeout=min(POLL_SECONDS, self._seconds)).done
        ):
            self._give_up_what_hangs()
        return self._give_up(one.item) if one.given_up else one.future.result()

    def _give_up_what_hangs(self) -> None:
        """Leave its threads where they are, and give what has not begun fresh ones."""
        hanging = [one for one in self._begun if self._hangs(one)]
        if not hanging:
            return
        for one in hanging:
            one.given_up = True
            for give_back in one.give_back:
                give_back()
        self.abandoned += len(hanging)
        self._pool.close()
        self._pool = self._new_pool()
        for one in self._begun:
            if one.future.cancel():
                one.future = self._pool.submit(self._run, one)

    def _hangs(self, one: _Begun[Item, Done]) -> bool:
        since = one.at_work_since
        if since is None or one.given_up or one.future.done():
            return False
        return self._clock() - since > self._seconds

    def _new_pool(self) -> Threads:
        return Threads(self._threads, "reader")


class Budget:
    """Bytes that several threads may hold together; one that wants more than all waits until it is
    alone.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._left = total
        self._held: dict[object, int] = {}
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes are free, and hold them.

        An item that waits here is not late by it; of one that is given up they are free again.
        """
        size, holder = min(size, self._total), object()
        one: _Begun[Any, Any] | None = getattr(_here, "one", None)
        if one:
            one.at_work_since = None
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
            self._held[holder] = size
        if one:
            one.give_back.append(partial(self._give_back, holder))
            one.at_work_since = one.clock()
        try:
            yield
        finally:
            self._give_back(holder)

    def _give_back(self, holder: object) -> None:
        """Once: a thread that was given up may come to its end after all."""
        with self._changed:
            self._left += self._held.pop(holder, 0)
            self._changed.notify_all()
