"""Real replicas look at some images, several at once as in a run, and commit nothing."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from schemas.image import Shard
from schemas.outcome import ReplicaError
from workers.cluster import RayFleet, Say
from workers.dispatch import PATIENT_SECONDS, POLL_SECONDS, SECONDS_BETWEEN_WAITING
from workers.estimate.stock import LEAST_IMAGES, MOST_IMAGES, Stretch, thinned
from workers.fleet import Lost, NotStarted, Rehearsed, Started
from workers.messages import Rehearsed as Told

AIM_SECONDS = 6.0
"""What the measured images are to take: quick replicas look at more of them."""
MOST_SECONDS = 60.0
"""What they may take: of a slow model it is fewer than LEAST_IMAGES, but always a batch."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the replicas told."""

    replicas: int
    """That were at work at once."""
    loading_seconds: float
    """Until the first one had its model."""
    seen: Sequence[Told]
    """All shards that were looked at, no image twice."""
    timed: Sequence[Told]
    """Those that were looked at when the replicas were warm."""

    @property
    def images(self) -> int:
        return sum(one.images for one in self.seen)

    @property
    def failed_by_code(self) -> Mapping[str, int]:
        return sum((Counter(one.failed_by_code) for one in self.seen), Counter[str]())

    @property
    def formats(self) -> Mapping[str, int]:
        return sum((Counter(one.formats) for one in self.seen), Counter[str]())

    @property
    def failed(self) -> int:
        return sum(self.failed_by_code.values())


def rehearse(
    fleet: RayFleet,
    replicas: int,
    stretches: Sequence[Stretch],
    batch_size: int,
    largest_shard: int,
    silence_seconds: float,
    say: Say,
    clock: Callable[[], float] = time.monotonic,
) -> Rehearsal:
    """Have up to `replicas` look at what was drawn: a batch each that is not timed, then as much of
    the rest as is worth its time, in shards no larger than those of the run.

    Raises:
        ReplicaError: a replica does not start, or is lost, or says nothing for so long.
        BucketsightError: what a replica raised that every replica would.
    """
    stage = _Stage(fleet, silence_seconds, say, clock)
    loading = stage.start(replicas)
    count = len(stage.replicas)
    warm, rest = _apart(stretches, batch_size * count)
    warming = stage.play(_shards(_dealt(warm, count), lambda images: [len(images)]))
    slowest = max(told.seconds / told.images for told in warming)
    most = _worth(slowest, batch_size, count)
    measured = _dealt(thinned(rest or warm, most * count), count)
    timed = stage.play(
        _shards(measured, lambda images: sizes_of(len(images), batch_size, largest_shard))
    )
    seen = [*warming, *timed] if rest else timed
    return Rehearsal(count, loading, seen, timed)


def sizes_of(images: int, batch_size: int, largest: int) -> list[int]:
    """Shards in which `images` are looked at: as large as the run's where that gives several; else
    a small one and a large one, which tell apart what a shard takes and what an image does.
    """
    quarter = images // 4
    if quarter >= batch_size and largest > 2 * quarter:
        return [quarter, *_cut(images - quarter, largest)]
    return _cut(images, largest)


def _cut(images: int, largest: int) -> list[int]:
    return [min(largest, images - first) for first in range(0, images, largest)]


def _apart(stretches: Sequence[Stretch], images: int) -> tuple[list[Stretch], list[Stretch]]:
    """Some to warm up with, and the rest; no rest where that would be less than there is of the
    first.
    """
    warm = thinned(stretches, images)
    chosen = set(map(id, warm))
    rest = [one for one in stretches if id(one) not in chosen]
    return warm, rest if len(rest) >= len(warm) else []


def _worth(seconds: float, batch_size: int, replicas: int) -> int:
    """So many images one replica looks at, of which each takes about so long."""
    least = -(-LEAST_IMAGES // replicas)
    wanted = min(max(least, int(AIM_SECONDS / seconds)), MOST_IMAGES)
    return max(batch_size, min(wanted, int(MOST_SECONDS / seconds)))


def _dealt(stretches: Sequence[Stretch], hands: int) -> list[Stretch]:
    """To each its share of them, shuffled, so that any part of it is from all over; fewer hands
    where there are fewer stretches.
    """
    shares = [list(stretches[hand::hands]) for hand in range(min(hands, len(stretches)))]
    for share in shares:
        random.Random(len(share)).shuffle(share)
    return [tuple(chain.from_iterable(share)) for share in shares]


def _shards(
    dealt: Sequence[Stretch], sizes: Callable[[Stretch], Sequence[int]]
) -> list[list[Shard]]:
    """Each share of the images in shards of these sizes."""

    def cut(images: Stretch) -> Iterator[Shard]:
        first = 0
        for index, size in enumerate(sizes(images)):
            some = sorted(images[first : first + size], key=lambda image: image.item_id)
            yield Shard(index, tuple(some))
            first += size

    return [list(cut(images)) for images in dealt]


class _Stage:
    """The replicas that are there, and what they are given."""

    def __init__(
        self, fleet: RayFleet, silence_seconds: float, say: Say, clock: Callable[[], float]
    ) -> None:
        self._fleet = fleet
        self._silence_seconds = silence_seconds
        self._say = say
        self._clock = clock
        self.replicas: list[int] = []

    def start(self, count: int) -> float:
        """Up to `count` replicas with their models, and how long the first one took.

        Others may use the cluster: when one is there the rest have a while, and are left out then.
        """
        began = self._clock()
        coming = {self._fleet.start() for _ in range(count)}
        first: float | None = None
        next_word = began + PATIENT_SECONDS
        while coming:
            now = self._clock()
            if first is not None and now - began > first + PATIENT_SECONDS:
                break
            if first is None and now >= next_word:
                self._say(f"no replica runs yet: {self._fleet.needs()}")
                next_word = now + SECONDS_BETWEEN_WAITING
            for event in self._fleet.events(POLL_SECONDS):
                if isinstance(event, NotStarted):
                    raise ReplicaError(f"a replica did not start: {event.reason}")
                if isinstance(event, Started):
                    coming.discard(event.replica)
                    self.replicas.append(event.replica)
                    first = self._clock() - began if first is None else first
        for replica in coming:
            self._fleet.stop(replica)
        assert first is not None
        return first

    def play(self, hands: Sequence[Sequence[Shard]]) -> list[Told]:
        """What came of all shards, those of one hand one after the other by one replica."""
        owed = 0
        for replica, shards in zip(self.replicas, hands, strict=False):
            for shard in shards:
                self._fleet.rehearse(replica, shard)
                owed += 1
        told: list[Told] = []
        heard_at = self._clock()
        while len(told) < owed:
            for event in self._fleet.events(POLL_SECONDS):
                heard_at = self._clock()
                if isinstance(event, Lost):
                    raise ReplicaError(
                        f"a replica was lost while it looked at a sample: {event.reason}; the run "
                        "itself would go on, and find the image if it was one"
                    )
                if isinstance(event, Rehearsed):
                    told.append(event.told)
            if self._clock() - heard_at > self._silence_seconds:
                raise ReplicaError(
                    f"a replica said nothing for {self._silence_seconds:g} s while it looked at a "
                    "sample"
                )
        return told
