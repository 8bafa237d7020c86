"""Work done ahead of the one who waits for it, within bounds and in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_order(
    work: Callable[[Item], Done], items: Iterable[Item], threads: Executor, window: int
) -> Iterator[Done]:
    """`work(item)` for each of `items`, in their order.

    Nothing begins before the first answer is asked for; then at most `window` items beyond the one
    that is asked for. What `work` raises is raised here.
    """
    waiting = iter(items)
    begun: deque[Future[Done]] = deque()
    try:
        begun.extend(threads.submit(work, item) for item in islice(waiting, window))
        while begun:
            first = begun.popleft()
            begun.extend(threads.submit(work, item) for item in islice(waiting, 1))
            yield first.result()
    finally:
        for future in begun:
            future.cancel()
