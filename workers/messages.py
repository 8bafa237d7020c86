"""What a driver and its replicas say to each other: plain values, so that they can be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.image import ImageRef
from schemas.job import JobSpec
from schemas.outcome import Failure
from schemas.rows import PassedColumn
from schemas.run import PartRecord


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a replica is for, before the first shard."""

    job: JobSpec
    run_id: str
    plan_digest: str
    columns: tuple[PassedColumn, ...]
    """Of INPUT, passed on into the rows."""
    model: str
    """As `workers.model.description.checkpoint_folder` takes it, on the replica's machine."""
    device: str
    """`cpu` or `cuda`."""
    batch_size: int
    threads: int
    """Of torch, in the replica's process."""
    item_seconds: float
    """What the model may take an image, and its file beyond what the store is granted."""
    news_seconds: float
    """An ordinary replica tells no oftener where it is."""
    witnesses: tuple[ImageRef, ...]
    """Some images from all over the plan: where none of them can be had, none can."""
    claimant: str
    """Of the run's spec.json: a local OUTPUT that lacks it is another folder of the same name. "":
    no run is claimed, for nothing is written."""


@dataclass(frozen=True, slots=True)
class Caution:
    """How a shard is looked at that took a replica with it: batch by batch, each said beforehand.

    Positions count the shard's images from 0.
    """

    suspects: tuple[int, ...] = ()
    """Of one batch, at least one of which ends a replica: looked at first, in two halves."""
    condemned: tuple[tuple[int, Failure], ...] = ()
    """Not looked at any more: each alone ended a replica, and this is its row."""


@dataclass(frozen=True, slots=True)
class BatchBegun:
    """These positions of the shard are next. A careful replica says so of each batch before it
    touches it; an ordinary one now and then, of the one whose rows are due.
    """

    positions: tuple[int, ...]
    """Empty once a careful one is through with all: what ends it now is no image's fault."""
    images_before: int
    """Of the shard, that are behind it."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A shard's part is there, the replica's own or a twin's."""

    part: PartRecord
    worn_out: bool = False
    """One of the replica's threads hangs in an image for ever: it wants to be replaced."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """The shard is looked at, and its last images failed for what may be the store's or the
    device's fault. It is committed once an image has succeeded, or when the replica is to settle.
    """


@dataclass(frozen=True, slots=True)
class Settled:
    """All that was withheld is committed."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A shard was looked at as any other, and thrown away when its part was encoded."""

    images: int
    seconds: float
    failed_by_code: Mapping[str, int]
    formats: Mapping[str, int]
    """Of the images whose bytes were had, as `workers.images.formats` calls them."""
    input_bytes: int
    part_bytes: int
    bytes_per_image: float
    """Of the part, beyond what a part takes by itself."""


Message = BatchBegun | Committed | Withheld | Settled | Rehearsed
