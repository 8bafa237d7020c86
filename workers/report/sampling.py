"""Which rows of a run are shown: some from all over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from schemas.run import Plan

Thing = TypeVar("Thing")

PICTURES = 60
PAGES = 20
"""Of the plan that the sample comes from at most: where images lie is read a whole page at once."""


def spread(things: Sequence[Thing], count: int) -> list[Thing]:
    """Up to `count` of `things`, evenly spaced, in their order."""
    count = min(count, len(things))
    return [things[index * len(things) // count] for index in range(count)]


def sampled(plan: Plan, labelled: Mapping[int, int]) -> dict[int, list[int]]:
    """Up to PICTURES labelled images, evenly spaced over shards of which so many are `labelled`:
    by shard the how manieth of its labelled ones, from 0 on.
    """
    pages = spread(plan.pages, PAGES)
    there = {page.first_shard + index for page in pages for index in range(page.shards)}
    shards = sorted(there & labelled.keys())
    ends = np.cumsum([labelled[shard] for shard in shards])
    found: dict[int, list[int]] = {}
    for image in spread(range(ends[-1] if shards else 0), PICTURES):
        index = int(np.searchsorted(ends, image, side="right"))
        before = int(ends[index]) - labelled[shards[index]]
        found.setdefault(shards[index], []).append(image - before)
    return found
