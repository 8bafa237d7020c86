"""From what some shards took to what any shard takes."""

import random

import pytest

from workers.estimate.pace import LEAST_SPREAD, SPREAD_OF_ONE, pace_of
from workers.estimate.rehearsal import sizes_of
from workers.messages import Rehearsed


def shard(images: int, seconds: float) -> Rehearsed:
    return Rehearsed(images, seconds, {}, {}, 0, 0, 0.0)


def test_a_shard_and_an_image_are_told_apart() -> None:
    """Of shards of two sizes on a line both numbers come back, and the line is certain."""
    pace = pace_of([shard(size, 2.0 + 0.25 * size) for size in (40, 120, 40, 120)])
    assert (pace.per_shard, pace.per_image, pace.spread) == pytest.approx((2.0, 0.25, LEAST_SPREAD))


def test_no_shard_gives_time_back() -> None:
    """Where the small ones were the quicker by chance, or are all of a size, images alone count."""
    for shards in ([shard(10, 1.0), shard(30, 9.0)], [shard(20, 5.0), shard(20, 5.0)]):
        pace = pace_of(shards)
        assert (pace.per_shard, pace.per_image) == pytest.approx((0.0, 0.25))


def test_what_differs_is_less_certain() -> None:
    """One shard says little, unlike ones say less than many like them, and none says nothing."""
    assert pace_of([shard(20, 5.0)]).spread == SPREAD_OF_ONE
    dice = random.Random(1)
    unlike = [shard(20, dice.uniform(3, 7)) for _ in range(40)]
    assert pace_of(unlike[:4]).spread > pace_of(unlike).spread >= LEAST_SPREAD
    assert pace_of([shard(20, 0.0001), shard(20, 100.0)]).spread < 1


@pytest.mark.parametrize("largest", [1, 7, 50, 120, 512, 8192])
@pytest.mark.parametrize("images", [1, 5, 32, 70, 200, 512])
def test_a_rehearsal_is_cut_like_the_run(images: int, largest: int) -> None:
    """Every image is in one shard, none is larger than the run's; long shards come in two sizes."""
    sizes = sizes_of(images, 32, largest)
    assert sum(sizes) == images
    assert 0 < min(sizes) <= max(sizes) <= largest
    if images >= 128 and largest >= images:
        assert sizes == [images // 4, images - images // 4]
