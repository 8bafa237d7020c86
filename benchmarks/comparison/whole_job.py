"""The whole job: jobs/caption_bucket.py as a command, from its start to its exit."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq

from benchmarks.comparison.measurement import Measurement, steady_rate, watched
from benchmarks.comparison.question import Question
from schemas.outcome import BucketsightError
from schemas.version import ROOT

MARK = "BUCKETSIGHT_BENCHMARK"


def measure_job(question: Question) -> Measurement:
    """Ray, plan, fetch, decode, replicas, Parquet.

    Raises:
        BucketsightError: the job failed, or did not label every picture.
    """
    mark = uuid4().hex
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as output,
        watched(f"{MARK}={mark}") as peaks,
    ):
        began = time.time()
        job = subprocess.run(
            _command(question, output),
            env=os.environ | {MARK: mark},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        ended = time.time()
        if job.returncode:
            raise BucketsightError(f"the job failed: {job.stderr.strip().splitlines()[-1:]}")
        measured = _read(question, Path(output), began, ended)
    return Measurement(*measured, seconds_to_load=None, peak_bytes=max(peaks, default=0) or None)


def _command(question: Question, output: str) -> list[str]:
    return [
        *(sys.executable, str(ROOT / "jobs" / "caption_bucket.py"), question.images, output),
        *("--model", question.model, "--device", question.device),
        *("--quant", question.quant, "--batch-size", str(question.batch_size)),
        # By default a few pictures are cut so fine that no batch is full.
        *("--shard-images", str(_shard_images(question))),
        *("--replicas", str(question.replicas)),
        *("--cpus-per-replica", str(question.cpus_per_replica)),
    ]


def _shard_images(question: Question) -> int:
    """An eighth of the pictures, at least two batches."""
    return max(2 * question.batch_size, len(question.paths) // 8)


def _read(
    question: Question, output: Path, began: float, ended: float
) -> tuple[float | None, float, float]:
    """Rows a second in steady state and in all, and the seconds to the first part."""
    parts = list(output.glob("labels/run=*/part-*.parquet"))
    rows = [
        row
        for part in parts
        for row in pq.ParquetFile(part).read(["status", "labelled_at"]).to_pylist()
    ]
    labelled = [row["labelled_at"].timestamp() for row in rows if row["status"] == "labelled"]
    if len(labelled) != len(question.paths):
        raise BucketsightError(
            f"the job labelled {len(labelled)} of {len(question.paths)} pictures"
        )
    written = [part.stat().st_mtime for part in parts]
    warm_up = 2 * question.batch_size * question.replicas
    return (
        steady_rate(labelled, warm_up, max(written)),
        len(labelled) / (ended - began),
        min(written) - began,
    )
