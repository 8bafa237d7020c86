"""Ray Data over plain transformers: read files, `map_batches` over an actor class, write Parquet.

A picture is decoded in the actor that captions it: bytes travel between processes, no pixels.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq

from benchmarks.comparison.measurement import Measurement, steady_rate, watched
from benchmarks.comparison.question import Question, cores
from benchmarks.comparison.whole_job import MARK
from jobs.ray_environment import prepare_ray
from schemas.outcome import BucketsightError

Batch = dict[str, Any]
"""Columns of one length, as Ray Data hands them over."""


class Captioner:
    """What `map_batches` makes in each actor."""

    def __init__(self, question: Question) -> None:
        import torch

        from benchmarks.comparison.plain import PlainPipeline

        torch.set_num_threads(question.threads_per_actor)
        self._pipeline = PlainPipeline(question.checkpoint.folder, question.device)

    def __call__(self, batch: Batch) -> Batch:
        from workers.images import decode

        captions = self._pipeline.caption([decode(data) for data in batch["bytes"]])
        labelled_at = np.full(len(captions), time.time())
        return {"path": batch["path"], "caption": np.array(captions), "labelled_at": labelled_at}


def measure_ray_data(question: Question) -> Measurement:
    """From the start of this process to the last file of rows.

    Raises:
        BucketsightError: it lost a picture.
    """
    mark = uuid4().hex
    os.environ[MARK] = mark  # for all processes that Ray starts
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as output,
        watched(f"{MARK}={mark}") as peaks,
    ):
        _run(question, output)
        ended = time.time()
        measured = _read(question, Path(output), ended)
    return Measurement(*measured, seconds_to_load=None, peak_bytes=max(peaks, default=0) or None)


def _run(question: Question, output: str) -> None:
    prepare_ray()
    import ray

    # Ray's CPUs are only counted. Actors that have them all would leave none to read files.
    ray.init(num_cpus=cores() + 1, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    on_gpu = question.device == "cuda"
    # A block is a batch: blocks are not joined, and what is left of one is a batch too small.
    blocks = -(-len(question.paths) // question.plain_batch)
    try:
        pictures = ray.data.read_binary_files(
            question.images, include_paths=True, override_num_blocks=blocks
        )
        pictures.map_batches(
            Captioner,
            fn_constructor_args=(question,),
            batch_size=question.plain_batch,
            num_cpus=question.threads_per_actor,
            num_gpus=1 if on_gpu else 0,
            compute=ray.data.ActorPoolStrategy(size=question.actors),
        ).write_parquet(output)
    finally:
        ray.shutdown()


def _read(question: Question, output: Path, ended: float) -> tuple[float | None, float, float]:
    """Rows a second in steady state and in all, and the seconds to the first file."""
    files = list(output.glob("*.parquet"))
    labelled = [stamp for file in files for stamp in pq.read_table(file)["labelled_at"].to_pylist()]
    if len(labelled) != len(question.paths):
        raise BucketsightError(
            f"Ray Data labelled {len(labelled)} of {len(question.paths)} pictures"
        )
    written = [file.stat().st_mtime for file in files]
    warm_up = question.plain_batch * question.actors
    return (
        steady_rate(labelled, warm_up, max(written)),
        len(labelled) / (ended - question.asked_at),
        min(written) - question.asked_at,
    )
