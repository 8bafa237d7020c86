"""Every picture gets one answer, in its place, however the model fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from PIL import Image

from schemas.asks import Prompt, Rank, Reply, Write
from schemas.outcome import Failure, PromptError
from tests.checkpoints import tiny_model
from workers.answers import Answer, Batch, answer, answers
from workers.engine.table import Table
from workers.model.tinygptv import Features

PROMPT = Prompt("<ImageHere> what is this?")
ASKS = (Write(PROMPT, max_new_tokens=8), Rank(PROMPT, ("cat", "a dog", "cats"), top=2))
"""What the pictures are asked; every second one the first alone."""
SIZES = (3, 1, 4, 0, 2, 5)


def pictures() -> list[Image.Image]:
    """As many as `SIZES` add up to, no two alike."""
    dice = np.random.default_rng(1)
    return [
        Image.fromarray(dice.integers(0, 256, (56, 56, 3), dtype=np.uint8))
        for _ in range(sum(SIZES))
    ]


def asks(place: int) -> Sequence[Write | Rank]:
    return ASKS[: 1 + place % 2]


def batches(images: Sequence[Image.Image]) -> Iterator[Batch]:
    start = 0
    for size in SIZES:
        places = range(start, start + size)
        yield Batch([images[place] for place in places], [asks(place) for place in places])
        start += size


class Poisoned:
    """The tiny network, on a device that gives up on some pictures."""

    def __init__(self, refused: Sequence[Image.Image]) -> None:
        self.model = tiny_model().requires_grad_(False)
        self.refused = refused

    def encode(self, images: Sequence[Image.Image]) -> Features:
        if any(image is other for image in images for other in self.refused):
            raise RuntimeError("gave up")
        return self.model.encode(images)

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return pictures()


@pytest.fixture(scope="module")
def alone(images: list[Image.Image]) -> list[Answer]:
    """What each picture is answered in a batch of its own."""
    model = tiny_model().requires_grad_(False)
    return [answer(model, Batch([image], [asks(place)]))[0] for place, image in enumerate(images)]


def asked(model: object, images: Sequence[Image.Image], refill: int) -> list[Answer]:
    given = list(answers(model, batches(images), refill))  # type: ignore[arg-type]
    assert [len(some) for some in given] == list(SIZES)
    return [one for some in given for one in some]


@pytest.mark.parametrize("refill", [0, 4])
def test_in_company_as_alone(refill: int, images: list[Image.Image], alone: list[Answer]) -> None:
    """A picture's answer is the one that it gets alone, in its place, in any batch."""
    assert len({one[0] for one in alone if not isinstance(one, Failure)}) > len(alone) / 2
    assert [len(one) for one in alone if not isinstance(one, Failure)] == [
        len(asks(place)) for place in range(len(alone))
    ]
    assert asked(tiny_model(), images, refill) == alone


@pytest.mark.parametrize("refill", [0, 4])
@pytest.mark.parametrize("places", [(0,), (5, 14), (3, 4, 5, 6, 7), range(15)])
def test_only_the_picture_that_fails_is_a_failure(
    refill: int, places: Sequence[int], images: list[Image.Image], alone: list[Answer]
) -> None:
    """Those that the model gives up on are failures with its words; no other loses its answer."""
    model = Poisoned([images[place] for place in places])
    given = asked(model, images, refill)
    for place, (one, expected) in enumerate(zip(given, alone, strict=True)):
        if place in places:
            assert isinstance(one, Failure)
            assert (one.error_code, one.error_message) == (
                "model_failed",
                "the model failed: RuntimeError: gave up",
            )
        else:
            assert one == expected


@pytest.mark.parametrize("at", [1, 4, 9])
def test_a_failure_that_passes_costs_nothing(
    at: int, images: list[Image.Image], alone: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the device gives up amid several batches, all are asked again and answered."""
    step, steps = Table.step, iter(range(1, 1000))

    def failing_once(table: Table) -> None:
        if next(steps) == at:
            raise RuntimeError("a kernel gave up")
        step(table)

    monkeypatch.setattr(Table, "step", failing_once)
    assert asked(tiny_model(), images, refill=4) == alone
    assert next(steps) > at, "it never failed"


def test_what_fails_for_all_is_raised(images: list[Image.Image]) -> None:
    """A prompt that cannot be asked is no picture's failure, and neither is an error of reading."""
    with pytest.raises(PromptError):
        wrong = Write(Prompt("no place"), max_new_tokens=8)
        list(answers(tiny_model(), [Batch(images[:2], [[wrong]] * 2)], refill=4))

    def broken() -> Iterator[Batch]:
        yield Batch(images[:2], [ASKS] * 2)
        raise LookupError("a bug in reading")

    with pytest.raises(LookupError, match="a bug in reading"):
        list(answers(tiny_model(), broken(), refill=4))


def test_a_model_that_fails_always(images: list[Image.Image]) -> None:
    """Every picture is a failure, and a batch of none is answered with none."""
    model = tiny_model()
    model.encode = lambda images: 1 / 0  # type: ignore[assignment,return-value]
    given = asked(model, images, refill=4)
    assert all(isinstance(one, Failure) for one in given)


def test_a_picture_that_the_engine_loses_is_no_row(images: list[Image.Image]) -> None:
    """An answer too few is this program's fault, raised as such, and not the pictures'."""
    model = tiny_model()
    real = model.reply_all

    def losing(*given: object, **named: object) -> Iterator[list[tuple[Reply, ...]]]:
        for some in real(*given, **named):  # type: ignore[arg-type]
            yield some[1:]

    model.reply_all = losing  # type: ignore[assignment,method-assign]
    with pytest.raises(AssertionError, match="lost a picture"):
        asked(model, images, refill=4)
