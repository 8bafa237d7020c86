"""In which batches plain transformers are fastest."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import torch
from PIL import Image

from benchmarks.comparison.measurement import free_bytes, peak_bytes
from benchmarks.comparison.pictures import read_ahead
from benchmarks.comparison.plain import PlainPipeline
from benchmarks.comparison.question import Question, cores

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SECONDS = 3.0
"""A size is asked for so long, one batch at least."""
GAIN = 1.02
"""Where a batch takes longer than `SECONDS`, two sizes in a row that are not faster by this than
the best before them end the search."""


@dataclass(frozen=True)
class Tried:
    """One size of a batch."""

    size: int
    images_per_second: float
    """Decoding left out."""
    peak_bytes: int
    """Of the process up to here; 0 where the system does not tell."""


def try_batches(question: Question) -> Iterator[Tried]:
    """Sizes, the smallest first.

    No size is tried that holds more pictures than there are, or that by what the one before took
    would not fit into the memory that is free.
    """
    torch.set_num_threads(cores())
    room = free_bytes()
    pipeline = PlainPipeline(question.checkpoint.folder, question.device)
    side = question.checkpoint.config.image_size
    pictures = list(read_ahead(question.paths[: SIZES[-1]], side))
    loaded = peak_bytes() or 0
    pipeline.caption(pictures[:1])
    best, idle = 0.0, 0
    for before, size in zip((0, *SIZES), SIZES, strict=False):
        if size > len(pictures) or idle == 2:
            return
        grown = ((peak_bytes() or 0) - loaded) / max(1, before) * size
        if question.device == "cpu" and room is not None and loaded + grown > room:
            return
        try:
            rate = _rate(pipeline, pictures, size)
        except torch.OutOfMemoryError:
            return
        yield Tried(size, rate, peak_bytes() or 0)
        slow = size / rate > SECONDS
        idle = idle + 1 if slow and rate < GAIN * best else 0
        best = max(best, rate)


def _rate(pipeline: PlainPipeline, pictures: Sequence[Image.Image], size: int) -> float:
    turns = cycle(pictures)
    done = 0
    began = time.perf_counter()
    while not done or time.perf_counter() - began < SECONDS:
        pipeline.caption(list(islice(turns, size)))
        done += size
    return done / (time.perf_counter() - began)
