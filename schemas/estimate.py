"""What a run was estimated to take, and what it took.

OUTPUT/estimates/<fingerprint>.json    Estimate: written over each time that one is made
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from schemas import document

ESTIMATES = "estimates"
ESTIMATE_FORMAT = 1


def estimate_name(fingerprint: str) -> str:
    """Where the estimate of a job lies, relative to its OUTPUT."""
    return f"{ESTIMATES}/{fingerprint}.json"


@dataclass(frozen=True, slots=True)
class Span:
    """A number that is not known exactly; `low` ≤ `likely` ≤ `high`."""

    low: float
    likely: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def times(self, factor: float) -> Span:
        return Span(self.low * factor, self.likely * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will take, as some of its images tell that real replicas looked at."""

    fingerprint: str
    made_at: str
    """ISO 8601 UTC, for readers; orders nothing."""
    run_id: str
    """The unfinished run that the job goes on with; "": it begins one."""
    images: int
    """That are owed."""
    images_done: int
    """Of the run that it goes on with."""
    input_bytes: int | None
    """Of the owed images, as the listing has it; None where it does not know all sizes."""
    output_bytes: int
    """Of their parts, about."""
    device: str
    batch_size: int
    replicas: int
    """That the job would have now."""
    sampled: int
    """Images that were looked at."""
    failed_by_code: dict[str, int]
    """Of these."""
    rehearsed_by: int
    """So many replicas looked at them at once."""
    seconds_per_image: float
    """Of one replica, beside that many others."""
    seconds_per_shard: float
    """Beyond its images."""
    spread: float
    """So much of the time, either way, may it be more or less."""
    preparing_seconds: float
    """Until replicas are asked for: Ray and the listing."""
    loading_seconds: float
    """From then until the first one has its model."""
    shards: tuple[tuple[int, int], ...]
    """(images, how many shards of so many), in the order in which they are handed out."""
    ordinal: int = 0
    """Of the run that it goes on with, or the first that it may begin; 0: nobody said which, and
    it tells of no run.
    """

    def __post_init__(self) -> None:
        # JSON has no tuples, and a hand may have been at it
        shards = tuple((int(images), int(count)) for images, count in self.shards)
        object.__setattr__(self, "shards", shards)
        numbers = (self.seconds_per_image, self.seconds_per_shard, self.preparing_seconds)
        if not all(
            0 <= number < math.inf for number in (*numbers, self.loading_seconds, self.spread)
        ):
            raise ValueError("a time that is none")
        if not 0 <= self.failed <= self.sampled or self.sampled < 1 or self.replicas < 1:
            raise ValueError("a sample of nothing")
        if sum(images * count for images, count in shards) != self.images:
            raise ValueError("shards that do not add up")

    @property
    def failed(self) -> int:
        return sum(self.failed_by_code.values())

    @property
    def starting_seconds(self) -> float:
        """Until the first replica has its model."""
        return self.preparing_seconds + self.loading_seconds

    def price(self, replicas: int, per_hour: float) -> Span:
        """What so many replicas cost of which each costs so much an hour: from when they are asked
        for until all is committed.
        """
        work = self.seconds(replicas)
        hours = [(self.loading_seconds + one) / 3600 for one in (work.low, work.likely, work.high)]
        return Span(*hours).times(replicas * per_hour)

    def seconds(self, replicas: int) -> Span:
        """From when `replicas` (1 and up) have their model until all is committed: each takes the
        next shard when it is through with one.
        """
        likely = _makespan(
            [
                (self.seconds_per_shard + self.seconds_per_image * images, count)
                for images, count in self.shards
            ],
            replicas,
        )
        return Span(likely * (1 - self.spread), likely, likely * (1 + self.spread))

    def failure_rate(self) -> Span:
        """The share of images that will fail; 95 % of samples tell an interval that holds it."""
        return wilson(self.failed, self.sampled)

    def to_json(self) -> bytes:
        return document.dumps(asdict(self) | {"format_version": ESTIMATE_FORMAT})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The estimate that lies at `place`. Raises UsageError for one of another format."""
        return cls.from_fields(document.loads_format(data, place, ESTIMATE_FORMAT), place)

    @classmethod
    def from_fields(cls, value: Mapping[str, Any], place: str) -> Self:
        """Likewise, from the fields of it that the document at `place` holds."""
        return document.build(cls, place, dict(value))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the driver that finished a run saw of it. Others may have worked on it before, or
    beside it: of their time it knows nothing.
    """

    images: int
    """Of the shards that it saw committed."""
    images_before: int
    """Of the plan, that were committed when it began."""
    replicas: int
    """At most so many had their model at once."""
    starting_seconds: float
    """Until the first one had, from when the driver began: listing, Ray, and loading."""
    seconds: float
    """From then until its last shard was committed."""
    replica_seconds: float
    """In which replicas had their model, added up: idle ones count."""
    input_bytes: int
    """Of these images, as far as the listing knew their sizes."""
    output_bytes: int
    """Of their parts."""
    images_per_second: float = field(init=False)
    images_per_replica_second: float = field(init=False)

    def __post_init__(self) -> None:
        for name, seconds in (
            ("images_per_second", self.seconds),
            ("images_per_replica_second", self.replica_seconds),
        ):
            object.__setattr__(self, name, self.images / seconds if seconds else 0.0)

    @classmethod
    def from_fields(cls, value: Mapping[str, Any], place: str) -> Self:
        """The outcome whose fields the document at `place` holds. Raises UsageError."""
        derived = ("images_per_second", "images_per_replica_second")
        told = {name: said for name, said in value.items() if name not in derived}
        return document.build(cls, place, told)


def wilson(hits: int, tries: int) -> Span:
    """The share of hits, with Wilson's interval of 95 %; `tries` is 1 and up."""
    z = 1.959964
    share = hits / tries
    middle = (share + z * z / (2 * tries)) / (1 + z * z / tries)
    half = z / (1 + z * z / tries) * math.sqrt(share * (1 - share) / tries + (z / tries / 2) ** 2)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Span(low if hits else 0.0, share, high if hits < tries else 1.0)


def _makespan(jobs: list[tuple[float, int]], workers: int) -> float:
    """When the last of `jobs` ends, (seconds, how many): who is free takes the next one."""
    free_at = [0.0] * workers
    for seconds, count in jobs:
        # of equal jobs everyone has one in each round, which leaves their distances as they are
        rounds, left = divmod(count, workers)
        free_at = [at + rounds * seconds for at in free_at]
        heapq.heapify(free_at)
        for _ in range(left):
            heapq.heapreplace(free_at, free_at[0] + seconds)
    return max(free_at)
