"""What shards of several sizes took → what any shard takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workers.messages import Rehearsed

LEAST_SPREAD = 0.1
"""Seconds do not tell hours more exactly, however alike they are."""
SPREAD_OF_ONE = 0.25
"""Of a single shard, which says nothing of how others differ."""
MOST_SPREAD = 0.9


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of one replica, among those that were at work beside it."""

    per_image: float
    per_shard: float
    """Beyond its images: what is read before the model can begin, and what the model ends with."""
    spread: float
    """The share by which the whole may take more or less."""

    def seconds(self, images: int) -> float:
        return self.per_shard + self.per_image * images


def pace_of(shards: Sequence[Rehearsed]) -> Pace:
    """A line through what `shards`, one or more, took, by their sizes; if it would have a shard
    without images take less than no time, the line through nothing.
    """
    images = sum(one.images for one in shards)
    seconds = sum(one.seconds for one in shards)
    size, took = images / len(shards), seconds / len(shards)
    apart = sum((one.images - size) ** 2 for one in shards)
    pace = Pace(seconds / images, 0.0, 0.0)
    if apart:
        slope = sum((one.images - size) * (one.seconds - took) for one in shards) / apart
        if 0 < slope < pace.per_image:
            pace = Pace(slope, took - slope * size, 0.0)
    return Pace(pace.per_image, pace.per_shard, _spread(shards, pace))


def _spread(shards: Sequence[Rehearsed], pace: Pace) -> float:
    """Twice the standard error, as the shards lie about the line."""
    if len(shards) < 2:
        return SPREAD_OF_ONE
    off = [one.seconds / pace.seconds(one.images) - 1 for one in shards]
    error = math.sqrt(sum(one * one for one in off) / (len(off) - 1) / len(off))
    return min(max(LEAST_SPREAD, 2 * error), MOST_SPREAD)
