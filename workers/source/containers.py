"""Containers → pages of what they hold: several read side by side, and a broken one is an item."""

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from schemas.image import ImageRef
from schemas.outcome import (
    ErrorCode,
    Failure,
    ForbiddenError,
    ReadError,
    ReadFailedError,
)
from workers.source.fetching import SpanFile, broken, bytes_of
from workers.source.page import Outcome
from workers.source.selection import SkipRule
from workers.store import Entry, Patience, as_ours
from workers.threads import Threads

SIDE_BY_SIDE = 8
"""Containers that are read at a time."""
BLOCK = 4 << 20
"""Bytes of a container that are asked for at once."""

Thing = TypeVar("Thing")
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Container:
    """A tar, a Parquet file or a manifest, as it was listed."""

    uri: str
    version: str
    size_bytes: int
    patience: Patience

    def spans(self) -> SpanFile:
        """Its bytes, asked for as they are read."""
        return SpanFile(
            self.size_bytes, lambda span: bytes_of(self.uri, self.version, self.patience, span)
        )

    def blocks(self) -> io.BufferedReader:
        """Its bytes, asked for BLOCK by BLOCK; what a seek hops over is not asked for."""
        return io.BufferedReader(self.spans(), BLOCK)


Scan = Callable[[Container], Iterator[Outcome]]
"""What a container holds; raises BrokenContainerError where that cannot be told on."""


def outcomes(entry: Entry, scan: Scan, patience: Patience) -> Iterator[Outcome]:
    """What the container holds; one that cannot be opened, or that breaks, is itself an item then.

    A plan is for ever, so what may be mended does not become part of it: raises UsageError where
    the container may not be read, StoreError where the store does not answer.
    """
    try:
        if entry.size_bytes is None:
            raise broken(entry.uri, "the store does not tell its size")
        yield from scan(Container(entry.uri, entry.version, entry.size_bytes, patience))
    except (ForbiddenError, ReadFailedError) as error:
        raise as_ours(entry.uri, error.__cause__ or error) from error
    except ReadError as error:
        failure = Failure(ErrorCode.BROKEN_CONTAINER, str(error))
        yield ImageRef(f"{entry.uri}#broken", entry.uri, entry.version, None, failure=failure)
    else:
        yield SkipRule.CONTAINER


def side_by_side(
    open: Callable[[Thing], Iterator[Given]], things: Iterable[Thing]
) -> Iterator[Given]:
    """What `open(thing)` gives for each of `things`, SIDE_BY_SIDE at a time, one from each in turn:
    the order does not depend on which of them is fast.
    """
    waiting = iter(things)
    begun: deque[tuple[Iterator[Given], Future[Given | None]]] = deque()
    with Threads(SIDE_BY_SIDE, "scan") as threads:

        def ask(source: Iterator[Given]) -> None:
            begun.append((source, threads.submit(next, source, None)))

        while True:
            while len(begun) < SIDE_BY_SIDE and (thing := next(waiting, None)) is not None:
                ask(open(thing))
            if not begun:
                return
            source, future = begun.popleft()
            given = future.result()
            if given is not None:
                yield given
                ask(source)  # now: whoever leaves after the first page has no second one read
