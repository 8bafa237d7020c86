"""Many questions to a store at once, the answers in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

READERS = 16


def in_order(
    ask: Callable[[Item], Answer], items: Iterable[Item], readers: int = READERS
) -> Iterator[Answer]:
    """`map(ask, items)` by so many threads, of which each is at most one answer ahead.

    What `ask` raises is raised here.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(readers, thread_name_prefix="plan") as pool:
        asked: deque[Future[Answer]] = deque()
        try:
            asked.extend(pool.submit(ask, item) for item in islice(waiting, 2 * readers))
            while asked:
                answer = asked.popleft().result()
                asked.extend(pool.submit(ask, item) for item in islice(waiting, 1))
                yield answer
        finally:
            for one in asked:
                one.cancel()
