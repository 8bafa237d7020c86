"""What a driver and its replicas say to each other: plain values, so that they can be sent."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.job import JobSpec
from schemas.run import PartRecord


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a replica is for, before the first shard."""

    job: JobSpec
    run_id: str
    plan_digest: str
    model: str
    """As `workers.model.description.checkpoint_folder` takes it, on the replica's machine."""
    device: str
    """`cpu` or `cuda`."""
    batch_size: int
    threads: int
    """Of torch, in the replica's process."""
    claimant: str
    """Of the run's spec.json: a local OUTPUT that lacks it is another folder of the same name."""


@dataclass(frozen=True, slots=True)
class BatchBegun:
    """The replica is about to look at `count` images of a shard, from its image `first` on."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The shard's part is there, the replica's own or a twin's."""

    part: PartRecord
