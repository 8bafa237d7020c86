"""Pictures in, answers out, whatever the model does on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from schemas.asks import Ask, Reply
from schemas.outcome import (
    BucketsightError,
    Failure,
    ItemError,
    ModelFailedError,
    OutOfMemoryError,
)
from workers.batches import UNDER_WAY
from workers.model import TinyGPTV
from workers.model.tinygptv import Features

Answer = tuple[Reply, ...] | Failure
"""One reply to each of a picture's asks, in their order."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures that are looked at together."""

    images: Sequence[Image.Image]
    asks: Sequence[Sequence[Ask]]
    """What each of them is asked."""

    def __post_init__(self) -> None:
        assert len(self.images) == len(self.asks), "not every picture is asked something"

    def __len__(self) -> int:
        return len(self.images)

    def part(self, places: slice) -> Batch:
        return Batch(self.images[places], self.asks[places])


def answers(model: TinyGPTV, batches: Iterable[Batch], refill: int) -> Iterator[list[Answer]]:
    """The answers to each batch in its turn, one a picture.

    Later batches are looked at while up to `refill` replies to earlier ones are still being
    written. Where the model fails, the batches under way are asked again one by one, and
    one that fails by itself is halved: only the smallest that fails is a failure, whatever the
    model raised.

    Raises:
        BucketsightError: what would fail on every picture alike.
    """
    coming = iter(batches)
    under_way: deque[Batch] = deque()
    reading = False

    def looked() -> Iterator[tuple[Features, Sequence[Sequence[Ask]]]]:
        nonlocal reading
        while True:
            reading = True
            batch = next(coming, None)
            reading = False
            if batch is None:
                return
            under_way.append(batch)
            yield model.encode(batch.images), batch.asks

    while True:
        given = model.reply_all(looked(), refill, UNDER_WAY)
        failure = None
        while failure is None:
            try:
                some = next(given, None)
            except BucketsightError:
                raise
            except Exception as error:  # the one boundary: a failure of the model is a row
                if reading or not under_way:
                    raise
                failure = _failure(error)
            else:
                if some is None:
                    return
                assert len(some) == len(under_way.popleft()), "the model lost a picture"
                yield list(some)
        if len(under_way) == 1:
            yield _halves(model, under_way.popleft(), failure)
        while under_way:
            yield answer(model, under_way.popleft())


def answer(model: TinyGPTV, batch: Batch) -> list[Answer]:
    """The answers to one batch."""
    (some,) = answers(model, [batch], refill=0)
    return some


def _halves(model: TinyGPTV, batch: Batch, failure: Failure) -> list[Answer]:
    """The answers to a batch on which the model has failed."""
    if len(batch) <= 1:
        return [failure] * len(batch)
    half = len(batch) // 2
    return answer(model, batch.part(slice(half))) + answer(model, batch.part(slice(half, None)))


def _failure(error: Exception) -> Failure:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return Failure.of(OutOfMemoryError(f"one image does not fit the device: {error}"))
    said: ItemError = ModelFailedError(f"the model failed: {type(error).__name__}: {error}")
    return Failure.of(said)
