"""A system that is one process without Ray: this runner's model, or plain transformers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from benchmarks.comparison.measurement import Measurement, peak_bytes
from benchmarks.comparison.pictures import read_ahead
from benchmarks.comparison.plain import PlainPipeline
from benchmarks.comparison.question import Question, cores
from schemas.asks import Ask, Prompt, Write, Written
from schemas.outcome import BucketsightError, Failure
from workers import answers
from workers.model import TinyGPTV


@dataclass(frozen=True)
class Loaded:
    """A system that is ready."""

    answers: Callable[[Iterator[Image.Image]], Iterator[list[str]]]
    """Pictures to what is written about each, in their order."""
    tokenizer: PreTrainedTokenizerFast


def measure_replica(question: Question) -> Measurement:
    """What a replica of the job computes with, alone."""
    generation = question.checkpoint.generation
    caption = Write(Prompt(generation.caption_prompt), generation.max_new_tokens)
    return measure_asked(question, [caption])


def measure_asked(question: Question, asks: Sequence[Ask]) -> Measurement:
    """The same, with `asks` about each picture."""
    return _measure(question, partial(_load_replica, asks), question.batch_size)


def measure_plain(question: Question) -> Measurement:
    """What a user would otherwise write, in its best batches."""
    return _measure(question, _load_plain, question.plain_batch)


def _load_replica(asks: Sequence[Ask], question: Question) -> Loaded:
    model = TinyGPTV.from_pretrained(question.model, question.device, quant=question.quant)
    return Loaded(partial(_ask, model, asks, question.batch_size), model.tokenizer)


def _ask(
    model: TinyGPTV, asks: Sequence[Ask], batch_size: int, pictures: Iterator[Image.Image]
) -> Iterator[list[str]]:
    """As a replica asks: the one place that knows how."""
    taken = iter(lambda: list(islice(pictures, batch_size)), [])
    batches = (answers.Batch(some, [asks] * len(some)) for some in taken)
    for some in answers.answers(model, batches, refill=batch_size):
        for answer in some:
            if isinstance(answer, Failure):
                raise BucketsightError(answer.error_message)
            yield [reply.text for reply in answer if isinstance(reply, Written)]


def _load_plain(question: Question) -> Loaded:
    pipeline = PlainPipeline(question.checkpoint.folder, question.device)

    def caption(pictures: Iterator[Image.Image]) -> Iterator[list[str]]:
        while batch := list(islice(pictures, question.plain_batch)):
            yield from ([text] for text in pipeline.caption(batch))

    return Loaded(caption, pipeline.tokenizer)


def _measure(question: Question, load: Callable[[Question], Loaded], warm_up: int) -> Measurement:
    torch.set_num_threads(cores())
    side, paths = question.checkpoint.config.image_size, question.paths
    began = time.time()
    system = load(question)
    loaded = time.time()
    first = system.answers(read_ahead(paths[:warm_up], side))
    next(first)
    answered = time.time()
    for _ in first:
        pass
    warm = time.perf_counter()
    written = list(system.answers(read_ahead(paths, side)))
    seconds = time.perf_counter() - warm
    assert len(written) == len(paths), "a system lost a picture"
    texts = list(chain.from_iterable(written))
    return Measurement(
        images_per_second=len(paths) / seconds,
        images_per_second_in_all=None,
        seconds_to_first=answered - question.asked_at,
        seconds_to_load=loaded - began,
        peak_bytes=torch.cuda.max_memory_allocated() if question.device == "cuda" else peak_bytes(),
        new_tokens=_mean_tokens(question, system.tokenizer, texts) if texts else None,
    )


def _mean_tokens(question: Question, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> float:
    """Those of an answer's text, and the one that ends it."""
    if question.new_tokens:
        return question.new_tokens
    most = question.checkpoint.generation.max_new_tokens
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    return sum(min(most, length + 1) for length in lengths) / len(lengths)
