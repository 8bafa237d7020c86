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
from schemas.outcome import StoreError, UsageError
from schemas.rows import row_schema
from schemas.run import PartRecord
from tests.runs import SCHEMAS, row
from workers.batches import batches
from workers.messages import Assignment, BatchBegun, Caution, Committed, Message, Rehearsed, Settled
from workers.sink import commit_part


class FakeReplica:
    """Labels everything at once."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment

    def process(self, shard: Shard, caution: Caution | None) -> Iterator[Message]:
        seen = 0
        for positions in batches(len(shard), self.assignment.batch_size, caution):
            yield BatchBegun(positions, seen)
            seen += len(positions)
            for position in positions:
                self.look_at(shard.images[position])
        yield Committed(self.commit(shard, caution or Caution()))

    def settle(self) -> Iterator[Message]:
        yield Settled()

    def rehearse(self, shard: Shard) -> Iterator[Message]:
        """Half a second a shard and 10 ms an image, by its own word."""
        for image in shard.images:
            self.look_at(image)
        images = len(shard)
        seconds = 0.5 + 0.01 * images
        yield Rehearsed(images, seconds, {}, {"PNG": images}, 100 * images, 1000 + images, 1.0)

    def look_at(self, image: ImageRef) -> None:
        """Nothing."""

    def commit(self, shard: Shard, caution: Caution) -> PartRecord:
        given, condemned = self.assignment, dict(caution.condemned)
        rows = [
            row(image, given.run_id, failure.error_code if failure else None)
            for position, image in enumerate(shard.images)
            for failure in [condemned.get(position)]
        ]
        return commit_part(
            given.job.output,
            given.run_id,
            given.plan_digest,
            shard,
            rows,
            row_schema(SCHEMAS),
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

    def commit(self, shard: Shard, caution: Caution) -> PartRecord:
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


class WitnessedReplica(FakeReplica):
    """Refuses to work where all images that it is told of are those of its shard."""

    def look_at(self, image: ImageRef) -> None:
        if {witness.uri for witness in self.assignment.witnesses} <= {image.uri}:
            raise UsageError("there is no witness")
