"""Pictures in, answers out, whatever the model does on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from schemas.outcome import (
    BucketsightError,
    Failure,
    ItemError,
    ModelFailedError,
    OutOfMemoryError,
)
from workers.batches import UNDER_WAY
from workers.engine import Prefix
from workers.model import TinyGPTV

Answer = str | Failure


@dataclass(frozen=True, slots=True)
class Question:
    """What every picture is asked."""

    prompt: str
    max_new_tokens: int


def answers(
    model: TinyGPTV, question: Question, batches: Iterable[Sequence[Image.Image]], refill: int
) -> Iterator[list[Answer]]:
    """The answers to each batch in its turn, one a picture.

    Later batches are looked at while up to `refill` pictures of earlier ones still wait for the end
    of their answers. Where the model fails, the batches under way are asked again one by one, and
    one that fails by itself is halved: only the smallest that fails is a failure, whatever the
    model raised.

    Raises:
        BucketsightError: what would fail on every picture alike.
    """
    coming = iter(batches)
    under_way: deque[Sequence[Image.Image]] = deque()
    reading = False

    def prefixes() -> Iterator[Prefix]:
        nonlocal reading
        while True:
            reading = True
            images = next(coming, None)
            reading = False
            if images is None:
                return
            under_way.append(images)
            yield _prefix(model, question, images)

    while True:
        given = model.generate_all(prefixes(), question.max_new_tokens, refill, UNDER_WAY)
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
            yield _halves(model, question, under_way.popleft(), failure)
        while under_way:
            yield answer(model, question, under_way.popleft())


def answer(model: TinyGPTV, question: Question, images: Sequence[Image.Image]) -> list[Answer]:
    """The answers to one batch."""
    (some,) = answers(model, question, [images], refill=0)
    return some


def _halves(
    model: TinyGPTV, question: Question, images: Sequence[Image.Image], failure: Failure
) -> list[Answer]:
    """The answers to a batch on which the model has failed."""
    if len(images) <= 1:
        return [failure] * len(images)
    half = len(images) // 2
    return answer(model, question, images[:half]) + answer(model, question, images[half:])


def _prefix(model: TinyGPTV, question: Question, images: Sequence[Image.Image]) -> Prefix:
    return model.prefix(model.encode(images), [question.prompt] * len(images))


def _failure(error: Exception) -> Failure:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return Failure.of(OutOfMemoryError(f"one image does not fit the device: {error}"))
    said: ItemError = ModelFailedError(f"the model failed: {type(error).__name__}: {error}")
    return Failure.of(said)
