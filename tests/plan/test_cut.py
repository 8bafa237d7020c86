"""How many images a part holds."""

import pytest

from schemas.outcome import UsageError
from tests.runs import refs
from workers.plan.cut import SMALL_SHARDS, cut, shard_sizes


@pytest.mark.parametrize("total", [1, 2, 7, 8, 9, 40, 63, 64, 1000])
@pytest.mark.parametrize("image_size", [128, 224, 448])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_shards_hold_every_image_once_and_in_order(
    total: int, image_size: int, device: str
) -> None:
    """Whatever the sizes, the shards are the listing, cut; by default none above an eighth."""
    images = refs(total)
    small, full = shard_sizes(total, None, image_size, device)
    shards = list(cut(images, small, full))
    assert [image for shard in shards for image in shard.images] == images
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert max(map(len, shards)) <= max(1, total // 8)
    assert all(len(shard) <= small for shard in shards[:SMALL_SHARDS])


def test_a_lost_shard_costs_minutes_on_any_device() -> None:
    """A large listing is cut by the model's size and the device: less where labelling is slower."""
    sizes = {
        (image_size, device): shard_sizes(10_000_000, None, image_size, device)[1]
        for image_size in (128, 224)
        for device in ("cpu", "cuda")
    }
    assert sizes[224, "cpu"] < sizes[128, "cpu"] < sizes[128, "cuda"]
    assert sizes[224, "cpu"] < sizes[224, "cuda"]


def test_what_is_asked_for_is_taken_as_it_is() -> None:
    """--shard-images cuts every shard to that size, the last one excepted."""
    small, full = shard_sizes(10, 4, 128, "cpu")
    assert [len(shard) for shard in cut(refs(10), small, full)] == [4, 4, 2]


@pytest.mark.parametrize("asked", [0, -1])
def test_a_shard_holds_something(asked: int) -> None:
    """A shard of no images is refused."""
    with pytest.raises(UsageError, match="at least 1"):
        shard_sizes(10, asked, 128, "cpu")
