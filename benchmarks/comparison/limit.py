"""The machine's limit: the best that it did in this very run, with all threads.

A rate is the best of several products on shapes that the model has: for each precision in use, the
matrices of the ViT, the Q-Former and the decoder, times the rows of one image, of `CHUNK` and of a
batch (up to `MOST_ROWS`); for bf16 both products of the ViT's attention too, one head and all heads
at a time. An int8 product includes scaling back, as no layer can do without. The head, with one row
an image, is never the best. The bandwidth is the bytes read and written by copying a large buffer.

An image's limit is the sum over `work.phases` of the longer of FLOPs / rate and bytes / bandwidth;
the share is that over the measured time of an image.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from benchmarks.comparison.question import Question, cores
from benchmarks.comparison.work import FP32, Asked, Phase, phases, tokens
from schemas.job import IMAGE_PLACEHOLDER
from workers.model.checkpoint import read_checkpoint
from workers.model.config import TinyGPTVConfig, VisionConfig
from workers.model.onednn import Linear
from workers.model.quantization import BF16, FP8, INT4, INT8
from workers.model.quantized.format import quantize
from workers.model.quantized.layers import Int4Linear
from workers.model.quantized.rows import CHUNK, PackedMatrix, round_rows

SECONDS, TIMES = 0.05, 3
"""Each product is repeated for so long, and so many times at least."""
MOST_ROWS = 4096
"""A product of more rows is no faster, and takes its time."""
COPIED_BYTES = 2**28
BANDWIDTH = "bandwidth"

Rates = dict[str, float]
"""FLOP/s by precision, and bytes a second by `BANDWIDTH`."""


@dataclass(frozen=True)
class PhaseLimit:
    """How fast a phase can be at best."""

    phase: Phase
    flops_seconds: float
    bytes_seconds: float

    @property
    def seconds(self) -> float:
        return max(self.flops_seconds, self.bytes_seconds)


def limits(phases: tuple[Phase, ...], rates: Rates) -> tuple[PhaseLimit, ...]:
    """Of one image."""
    return tuple(
        PhaseLimit(phase, phase.flops / rates[phase.kind], phase.weight_bytes / rates[BANDWIDTH])
        for phase in phases
    )


def asked_of(question: Question, new_tokens: float) -> Asked:
    """How long the question's prompt is, with the picture in it."""
    checkpoint = read_checkpoint(question.model)
    before, after = (
        len(checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"])
        for text in checkpoint.generation.caption_prompt.split(IMAGE_PLACEHOLDER)
    )
    prompt = before + checkpoint.config.num_query_tokens + after
    return Asked(prompt, before, new_tokens, min(2 * question.batch_size, len(question.paths)))


@torch.inference_mode()
def measure_rates(question: Question) -> Rates:
    """For every precision that the question's quantization multiplies in."""
    torch.set_num_threads(cores())
    config, device = question.checkpoint.config, question.device
    some = phases(config, question.quantization, device, Asked(2, 1, 1, 1))
    rates = {
        kind: max(_product_rates(config, kind, question.batch_size, device))
        for kind in sorted({phase.kind for phase in some})
    }
    rates[BF16] = max(rates[BF16], *_attention_rates(config.vision, device))
    return rates | {BANDWIDTH: _bandwidth(device)}


def _product_rates(config: TinyGPTVConfig, kind: str, batch: int, device: str) -> Iterator[float]:
    one = tokens(config.vision)
    positions = {one, CHUNK, batch * one if batch * one <= MOST_ROWS else one}
    for columns, rows in _matrices(config, kind):
        weight = torch.randn(rows, columns)
        for count in sorted(positions):
            product = _product(torch.randn(count, columns), weight, kind, device)
            yield 2 * count * columns * rows / _seconds(product, device)


def _matrices(config: TinyGPTVConfig, kind: str) -> list[tuple[int, int]]:
    """Columns and rows; int4 is the decoder's alone."""
    eye = () if kind == INT4 else (config.vision, config.qformer)
    shapes = {
        shape
        for block in (*eye, config.language)
        for width, inner in [(block.hidden_size, block.intermediate_size)]
        for shape in ((width, width), (width, 3 * width), (width, inner), (inner, width))
    }
    return sorted(shapes)


def _product(
    values: torch.Tensor, weight: torch.Tensor, kind: str, device: str
) -> Callable[[], torch.Tensor]:
    """values @ weight.T, everything prepared that is prepared once."""
    if kind == INT8:
        parts = quantize(weight, INT8)
        matrix = PackedMatrix(parts["weight"], parts["weight_scale"])
        rounded, scale = round_rows(values)
        return lambda: matrix.multiply(rounded, scale, None)
    if kind == INT4:
        rows, columns = weight.shape
        layer = Int4Linear(nn.Linear(columns, rows, bias=False, device="meta"))
        for name, tensor in quantize(weight, INT4).items():
            layer.give(name, tensor)
        halves = values.bfloat16()
        return lambda: layer.multiply(halves)
    if kind == FP8:
        left, right = (it.to(device, torch.float8_e4m3fn) for it in (values, weight))
        ones = [torch.ones(len(it), 1, device=device) for it in (values, weight)]
        return lambda: torch._scaled_mm(
            left, right.t(), scale_a=ones[0], scale_b=ones[1].t(), out_dtype=torch.bfloat16
        )
    dtype = torch.float32 if kind == FP32 else torch.bfloat16
    given = values.to(device, dtype)
    linear = Linear(nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta"))
    linear.weight = nn.Parameter(weight.to(device, dtype))
    return lambda: linear(given)


def _attention_rates(vision: VisionConfig, device: str) -> Iterator[float]:
    """Scores, and what they gather: of one head, and of all."""
    count, width = tokens(vision), vision.hidden_size // vision.num_heads
    for heads in (1, vision.num_heads):
        query = torch.randn(heads, count, width, device=device, dtype=torch.bfloat16)
        scores = torch.randn(heads, count, count, device=device, dtype=torch.bfloat16)
        key = query.transpose(1, 2)
        flops = 2 * heads * count * count * width
        yield flops / _seconds(partial(torch.bmm, query, key), device)
        yield flops / _seconds(partial(torch.bmm, scores, query), device)


def _bandwidth(device: str) -> float:
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / _seconds(partial(target.copy_, source), device)


def _seconds(work: Callable[[], object], device: str) -> float:
    """The least that it took."""
    took: list[float] = []
    work()  # what is made at the first call is not made again
    while len(took) < TIMES or sum(took) < SECONDS:
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return min(took)
