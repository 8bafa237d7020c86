"""One replica: a shard in, its committed part out. A plain class that knows no Ray.

    ImageRef ─read, decode→ Seen ─encode, prefix, generate→ answer ─columns→ row ─part→ committed

Rows are conserved: each step gives back each image exactly once and in the plan's order, and what
goes wrong with an image becomes its row.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from PIL import Image

from schemas.image import ImageRef, Shard
from schemas.outcome import (
    BucketsightError,
    CheckpointError,
    Failure,
    ItemError,
    ModelFailedError,
    OutOfMemoryError,
    Status,
    UsageError,
)
from schemas.run import RunNames, RunSpec
from schemas.uri import is_local, join
from schemas.version import code_version
from workers.ahead import in_order
from workers.images import decode, resize
from workers.messages import Assignment, BatchBegun, Committed
from workers.model import TinyGPTV
from workers.model.description import checkpoint_folder
from workers.sink import commit_part
from workers.source import read
from workers.source.selection import glob_selection, has_wildcard
from workers.tasks import task_of

READERS = 8
"""Threads that read and decode ahead of the model."""
BATCHES_AHEAD = 2
"""So many batches are read and decoded, or being so, before the model asks for them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One image on its way: what became of it before the model looks at it."""

    ref: ImageRef
    image: Image.Image | None = None
    """At the model's input size; None where there is a failure."""
    failure: Failure | None = None
    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    content_sha256: str | None = None


class Replica:
    """One model on one device, for one run.

    Raises:
        CheckpointError: there is no such checkpoint here, or not the one that was planned with.
        UsageError: INPUT or OUTPUT is a path, and here it leads elsewhere than at the driver.
    """

    def __init__(self, assignment: Assignment) -> None:
        _require_places(assignment)
        torch.set_num_threads(assignment.threads)
        self._assignment = assignment
        self._job = assignment.job
        self._task = task_of(assignment.job)
        folder = checkpoint_folder(assignment.model)
        self._model = TinyGPTV.from_pretrained(folder, device=assignment.device)
        if self._model.digest != self._job.model_digest:
            raise CheckpointError(
                f"{folder} holds another model than the run was planned with: digest "
                f"{self._model.digest[:16]}, not {self._job.model_digest[:16]}"
            )
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    def process(self, shard: Shard, careful: bool = False) -> Iterator[BatchBegun | Committed]:
        """Label `shard`, batch by batch, and commit it; the commit comes last.

        A careful replica touches nothing of a batch before it has said that it begins it.

        Raises:
            StoreError: the store did not take the part in time.
            ForeignPartError: the part's name is taken by somebody else's file.
            UsageError: the prompt is longer than the model's context, or OUTPUT may not be written.
        """
        images, size = shard.images, self._assignment.batch_size
        ahead = in_order(self._look_at, images, self._readers, BATCHES_AHEAD * size)
        rows: list[dict[str, Any]] = []
        for first in range(0, len(images), size):
            batch = images[first : first + size]
            yield BatchBegun(first, len(batch))
            if careful:
                seen = [self._look_at(image) for image in batch]
            else:
                seen = list(islice(ahead, len(batch)))
            rows += self._label(batch, seen)
        yield self._commit(shard, rows)

    def _look_at(self, ref: ImageRef) -> Seen:
        """Read and decode one image; what goes wrong is in the answer."""
        size_bytes, digest = ref.size_bytes, None
        try:
            data = read(ref)
            size_bytes, digest = len(data), hashlib.sha256(data).hexdigest()
            image = decode(data)
        except ItemError as error:
            failure = Failure.of(error)
            return Seen(ref, failure=failure, size_bytes=size_bytes, content_sha256=digest)
        small = resize(image, self._job.preprocessing.image_size)
        return Seen(ref, small, None, size_bytes, image.width, image.height, digest)

    def _label(self, batch: Sequence[ImageRef], seen: Sequence[Seen]) -> list[dict[str, Any]]:
        """One row for each image of a batch, in its order."""
        assert [one.ref for one in seen] == list(batch), "reading lost an image of the batch"
        pictures = [one.image for one in seen if one.image is not None]
        answers = iter(self._ask(pictures))
        rows = [self._row(one, one.failure or next(answers)) for one in seen]
        assert next(answers, None) is None, "the model gave more answers than it saw images"
        return rows

    def _ask(self, images: Sequence[Image.Image]) -> list[str | Failure]:
        """The model's answer to each image; a batch on which it fails is halved.

        Only the smallest batch that fails is a failure, whatever the model raised.
        """
        if not images:
            return []
        try:
            answers = self._generate(images)
        except BucketsightError:
            raise  # it would fail on every image alike
        except Exception as error:  # noqa: BLE001 - the one boundary: a failure of the model is a row
            failure = Failure.of(_model_error(error))
        else:
            assert len(answers) == len(images), "the model lost an image"
            return list(answers)
        if len(images) == 1:
            return [failure]
        half = len(images) // 2
        return self._ask(images[:half]) + self._ask(images[half:])

    def _generate(self, images: Sequence[Image.Image]) -> list[str]:
        features = self._model.encode(images)
        prefix = self._model.prefix(features, [self._task.prompt] * len(images))
        return self._model.generate(prefix, self._job.max_new_tokens)

    def _row(self, seen: Seen, outcome: str | Failure) -> dict[str, Any]:
        failure = outcome if isinstance(outcome, Failure) else None
        answer = None if isinstance(outcome, Failure) else outcome
        return {
            "item_id": seen.ref.item_id,
            "uri": seen.ref.uri,
            "input_digest": seen.ref.input_digest,
            "meaning_id": self._job.meaning_id(),
            "code_version": code_version(),
            "size_bytes": seen.size_bytes,
            "width": seen.width,
            "height": seen.height,
            "content_sha256": seen.content_sha256,
            "status": Status.FAILED if failure else Status.LABELLED,
            "error_code": failure.error_code if failure else None,
            "error_message": failure.error_message if failure else None,
            **self._task.columns(answer),
            "model_id": self._job.model_id,
            "model_digest": self._job.model_digest,
            "quantization": self._job.quantization,
            "run_id": self._assignment.run_id,
            "labelled_at": datetime.now(UTC),
        }

    def _commit(self, shard: Shard, rows: Sequence[dict[str, Any]]) -> Committed:
        part = commit_part(
            self._job.output,
            self._assignment.run_id,
            self._assignment.plan_digest,
            shard,
            rows,
            self._job.task,
            attempt=uuid4().hex,
        )
        return Committed(part)


def _require_places(assignment: Assignment) -> None:
    """A path names one place on one machine; a cluster's machines may not share it.

    Raises:
        UsageError: OUTPUT is a path and the run is not there, or INPUT is one and is not there.
    """
    job, machine = assignment.job, socket.gethostname()
    if is_local(job.output) and _claimant(assignment) != assignment.claimant:
        raise UsageError(
            f"on {machine} the folder {job.output} does not hold this run: a local OUTPUT must be "
            "on a disk that all machines of the cluster share"
        )
    if is_local(job.input) and not os.path.exists(job.input):
        place = job.input
        if has_wildcard(place):
            place = glob_selection(place, job.output).place
        if not os.path.exists(place):
            raise UsageError(
                f"{machine} has no {place}: a local INPUT must be on a disk that all machines of "
                "the cluster share"
            )


def _claimant(assignment: Assignment) -> str | None:
    """Whose run this machine sees in a local OUTPUT; None: there is none."""
    spec = join(assignment.job.output, RunNames(int(assignment.run_id)).spec)
    try:
        return RunSpec.from_json(Path(spec).read_bytes(), spec).claimant
    except OSError:
        return None


def _model_error(error: Exception) -> ItemError:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return OutOfMemoryError(f"one image does not fit the device: {error}")
    return ModelFailedError(f"the model failed: {type(error).__name__}: {error}")
