"""Replicas without a model, for tests of those who hand out shards; real parts, invented captions.

They are loaded in actors' processes, hence a module of their own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from schemas.image import ImageRef, Shard
from schemas.outcome import StoreError
from schemas.run import PartRecord
from tests.runs import rows
from workers.messages import Assignment, BatchBegun, Committed
from workers.sink import commit_part


class FakeReplica:
    """Labels everything at once."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment

    def process(self, shard: Shard, careful: bool) -> Iterator[BatchBegun | Committed]:
        size = self.assignment.batch_size
        for first in range(0, len(shard), size):
            batch = shard.images[first : first + size]
            yield BatchBegun(first, len(batch))
            for image in batch:
                self.look_at(image)
        yield Committed(self.commit(shard))

    def look_at(self, image: ImageRef) -> None:
        """Nothing."""

    def commit(self, shard: Shard) -> PartRecord:
        given = self.assignment
        return commit_part(
            given.job.output,
            given.run_id,
            given.plan_digest,
            shard,
            rows(shard, given.run_id),
            given.job.task,
            attempt=uuid4().hex,
        )


class DeadlyReplica(FakeReplica):
    """Its process dies at an image whose file says so, as often as the file says."""

    def look_at(self, image: ImageRef) -> None:
        lives = image_lives(Path(image.uri))
        if lives.exists() and (left := int(lives.read_text())):
            lives.write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)


def image_lives(image: Path) -> Path:
    """The file that says how many replicas `image` kills."""
    return image.with_suffix(".kills")


class NoStoreReplica(FakeReplica):
    """Its store is down."""

    def commit(self, shard: Shard) -> PartRecord:
        raise StoreError("the store did not answer")


class MistakenReplica(FakeReplica):
    """Has a bug."""

    def look_at(self, image: ImageRef) -> None:
        raise KeyError("no such column")


class SignallingReplica(FakeReplica):
    """Sends a SIGTERM, at an image beside which a file has the number of a process, to that one."""

    def look_at(self, image: ImageRef) -> None:
        process = Path(image.uri).with_suffix(".pid")
        if process.exists():
            os.kill(int(process.read_text()), signal.SIGTERM)


def does_not_load(assignment: Assignment) -> FakeReplica:
    raise RuntimeError("no driver for this device")
