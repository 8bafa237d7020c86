"""How many images a part holds."""

from collections.abc import Iterable, Iterator
from itertools import islice

from schemas.image import ImageRef, Shard
from schemas.outcome import UsageError

SHARD_IMAGES = {
    ("small", "cpu"): 512,
    ("small", "cuda"): 8192,
    ("released", "cpu"): 32,
    ("released", "cuda"): 2048,
}
"""What one replica labels in a few minutes: that much work a crash may cost."""

RELEASED_IMAGE_SIZE = 224
"""Pixels a side from which on the images are those of a network of the released size."""

LEAST_SHARDS = 8
SMALL_SHARDS = 4
"""So many shards at the start are small ones: they show early that all is well."""


def shard_sizes(total: int, asked: int | None, image_size: int, device: str) -> tuple[int, int]:
    """Images of each of the first SMALL_SHARDS shards, and of each later one.

    What was `asked` for is taken as it is. By default a shard is at most an eighth of the whole,
    and less where the model is large, which the `image_size` that it looks at tells.
    """
    if asked is not None:
        if asked < 1:
            raise UsageError(f"--shard-images {asked}: at least 1")
        return asked, asked
    model = "small" if image_size < RELEASED_IMAGE_SIZE else "released"
    full = SHARD_IMAGES[model, "cpu" if device == "cpu" else "cuda"]
    full = max(1, min(full, total // LEAST_SHARDS))
    return max(1, full // SMALL_SHARDS), full


def cut(images: Iterable[ImageRef], small: int, full: int) -> Iterator[Shard]:
    """`images`, in their order, as shards numbered from 0."""
    remaining = iter(images)
    index = 0
    while group := tuple(islice(remaining, small if index < SMALL_SHARDS else full)):
        yield Shard(index, group)
        index += 1
