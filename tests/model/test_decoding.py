"""The language model over its cache: a row's bits are its own, in every precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from tests.checkpoints import tiny_model
from workers.model import TinyGPTV
from workers.model.attention import LONG
from workers.model.decoding import PhiDecoder
from workers.model.description import checkpoint_folder
from workers.model.quantization import BF16, INT4, INT8, NONE
from workers.model.quantized.rows import multiplies_int8

ROWS, STEPS = 40, 3
PROMPTS = (23, 31)
"""The steps after them cross a multiple of 8, and one of 16: how far a row looks at nothing hangs
on how far others have read, and must not matter."""

on_x86 = pytest.mark.skipif(
    not multiplies_int8(torch.device("cpu")), reason="measured on x86 CPUs with oneDNN"
)


@pytest.fixture(scope="module", params=[NONE, BF16, INT8, INT4])
def decoder(request: pytest.FixtureRequest) -> PhiDecoder:
    model = TinyGPTV.from_pretrained(checkpoint_folder("pocket"), quant=request.param)
    return PhiDecoder(model.language_model)


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


@torch.inference_mode()
def scores(decoder: PhiDecoder, rows: list[int], first: int, length: int) -> list[torch.Tensor]:
    """What rows number `rows` are given for each position, read together at line `first`."""
    dtype = decoder.embed(torch.tensor([0])).dtype
    prompts = torch.randn(ROWS, length, 192, generator=torch.Generator().manual_seed(0)).to(dtype)
    cache = decoder.new_cache(first + len(rows), length + STEPS)
    read = decoder.extend(prompts[rows], cache, first, [0] * len(rows))
    found = [decoder.logits(read[:, -1])]
    for step in range(STEPS):
        tokens = torch.tensor([[100 + row + step] for row in rows])
        # A third of the rows have read less: each has its own place in the cache.
        starts = [length + step - (row % 3 == 0) for row in rows]
        read = decoder.extend(decoder.embed(tokens), cache, first, starts)
        found.append(decoder.logits(read[:, 0]))
    return found


@on_x86
@pytest.mark.parametrize("length", PROMPTS)
@pytest.mark.parametrize("number", [1, 2])
def test_a_rows_bits_are_its_own(decoder: PhiDecoder, number: int, length: int) -> None:
    """Alone or with up to 39 others, at any place, with one thread or two: prompt and later tokens
    score the same, bit for bit.
    """
    with threads(1):
        together = scores(decoder, list(range(ROWS)), 0, length)
    for rows, first in [
        ([0], 0), ([39], 5), ([3, 17], 1), ([7, 8, 9], 0), (list(range(11)), 2),
        (list(range(30, 13, -1)), 0), (list(range(1, 34)), 3),
    ]:  # fmt: skip
        with threads(number):
            found_here = scores(decoder, rows, first, length)
        for found, expected in zip(found_here, together, strict=True):
            assert torch.equal(found, expected[rows]), f"{len(rows)} rows at {first}"


def test_the_cache_is_half_as_large_where_matrices_are_quantized() -> None:
    """Keys and values are fp32 beside fp32 matrices, and 16-bit floats beside smaller ones."""
    folder = checkpoint_folder("pocket")
    dtypes = {
        quant: PhiDecoder(TinyGPTV.from_pretrained(folder, quant=quant).language_model)
        .new_cache(1, 1)
        .keys[0]
        .dtype
        for quant in (NONE, BF16, INT8, INT4)
    }
    half = torch.bfloat16
    assert dtypes == {NONE: torch.float32, BF16: half, INT8: half, INT4: half}


@on_x86
@torch.inference_mode()
def test_a_long_prompt_has_bits_of_its_own(decoder: PhiDecoder) -> None:
    """From `LONG` positions on attention is fused: still the same bits alone and among others."""
    dtype = decoder.embed(torch.tensor([0])).dtype
    generator = torch.Generator().manual_seed(4)
    prompts = torch.randn(5, LONG + 4, 192, generator=generator).to(dtype)
    together = decoder.extend(prompts, decoder.new_cache(5, LONG + 4), 0, [0] * 5)
    for row in (0, 4):
        alone = decoder.extend(prompts[row : row + 1], decoder.new_cache(1, LONG + 4), 0, [0])
        assert torch.equal(alone[0], together[row])


@torch.inference_mode()
def test_what_a_line_held_before_does_not_matter() -> None:
    """A row that takes over a line of the cache sees nothing of the row that was there."""
    decoder = PhiDecoder(tiny_model().language_model)
    prompt = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))
    fresh, used = decoder.new_cache(1, 64), decoder.new_cache(1, 64)
    decoder.extend(torch.full((1, 60, 32), 9.0), used, 0, [0])
    token = decoder.embed(torch.tensor([[7]]))
    for cache in (fresh, used):
        decoder.extend(prompt, cache, 0, [0])
    expected = decoder.extend(token, fresh, 0, [5])
    assert torch.equal(decoder.extend(token, used, 0, [5]), expected)
