"""How many images a part holds."""

from dataclasses import replace

import pytest

from schemas.outcome import UsageError
from schemas.run import Plan
from workers.plan.cut import SMALL_SHARDS, Cut, batch_for, cut_for

PLAN = Plan("00000001", "attempt", (), 0, 0, SMALL_SHARDS, 0, 0, "cpu", 8)


@pytest.mark.parametrize("total", [1, 2, 7, 8, 9, 40, 63, 64, 1000, 5000])
@pytest.mark.parametrize("image_size", [128, 224, 448])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_shards_hold_every_row_once_and_in_order(total: int, image_size: int, device: str) -> None:
    """Whatever the sizes, the shards are the rows, cut; by default none above an eighth."""
    cut = cut_for(total, None, image_size, device)
    shards = cut.shards_of(0, total).tolist()
    assert shards == sorted(shards)
    assert set(shards) == set(range(cut.shards_for(total)))
    sizes = [shards.count(shard) for shard in range(cut.shards_for(total))]
    assert max(sizes) <= max(1, total // 8)
    assert all(size <= cut.small for size in sizes[:SMALL_SHARDS])


@pytest.mark.parametrize("cut", [Cut(1, 1), Cut(1, 4), Cut(3, 3), Cut(16, 64), Cut(5, 2)])
@pytest.mark.parametrize("total", [1, 2, 5, 11, 12, 13, 64, 65, 257])
def test_the_plan_counts_as_the_rows_are_cut(cut: Cut, total: int) -> None:
    """`Plan.images_of` says of each shard just how many rows fall into it."""
    shards = cut.shards_of(0, total).tolist()
    count = cut.shards_for(total)
    plan = replace(
        PLAN, items=total, shards=count, small_shard_images=cut.small, shard_images=cut.full
    )
    assert [plan.images_of(shard) for shard in range(count)] == [
        shards.count(shard) for shard in range(count)
    ]
    assert plan.images_of(count) == 0


@pytest.mark.parametrize("first", [0, 1, 3, 4, 5, 40])
def test_rows_in_the_middle_are_cut_alike(first: int) -> None:
    """Where a block of rows begins changes no row's shard, and counts follow from shards alone."""
    cut = Cut(1, 4)
    whole = cut.shards_of(0, 100).tolist()
    assert cut.shards_of(first, 50).tolist() == whole[first : first + 50]
    for shard in range(20):
        assert cut.rows_before(shard) == whole.index(shard)
        assert cut.shards_for(cut.rows_before(shard) + 1) == shard + 1


def test_a_lost_shard_costs_minutes_on_any_device() -> None:
    """A large listing is cut by the model's size and the device: less where labelling is slower."""
    sizes = {
        (image_size, device): cut_for(10_000_000, None, image_size, device).full
        for image_size in (128, 224)
        for device in ("cpu", "cuda")
    }
    assert sizes[224, "cpu"] < sizes[128, "cpu"] < sizes[128, "cuda"]
    assert sizes[224, "cpu"] < sizes[224, "cuda"]


def test_what_is_asked_for_is_taken_as_it_is() -> None:
    """--shard-images cuts every shard to that size, the last one excepted."""
    cut = cut_for(10, 4, 128, "cpu")
    assert cut.shards_of(0, 10).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("asked", [0, -1])
def test_a_shard_holds_something(asked: int) -> None:
    """A shard of no images is refused."""
    with pytest.raises(UsageError, match="at least 1"):
        cut_for(10, asked, 128, "cpu")


@pytest.mark.parametrize(
    ("image_size", "device", "quantization", "expected"),
    [
        (128, "cpu", "none", 32), (128, "cpu", "int4", 32), (448, "cpu", "int8", 6),
        (224, "cpu", "int4", 2), (448, "cuda", "bf16", 32), (448, "cuda:1", "int4", 32),
    ],
)  # fmt: skip
def test_batches_fit_the_memory(
    image_size: int, device: str, quantization: str, expected: int
) -> None:
    """Large pictures on a CPU are looked at a few at a time, fewest in int4."""
    assert batch_for(image_size, device, quantization) == expected
