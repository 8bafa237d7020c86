"""How many images a part holds, and which shard each row of the sorted listing falls into."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.outcome import UsageError
from workers.model.quantization import INT4

SHARD_IMAGES = {
    ("small", "cpu"): 512,
    ("small", "cuda"): 8192,
    ("released", "cpu"): 32,
    ("released", "cuda"): 2048,
}
"""What one replica labels in a few minutes: that much work a crash may cost."""

BATCH_IMAGES = {
    ("small", "cpu"): 32,
    ("small", "cuda"): 32,
    ("released", "cpu"): 6,
    ("released", "cuda"): 32,
}
"""Looked at together; up to twice as many are answered together. Larger batches are hardly faster
on a CPU (docs/log.md), and at the released size each image of one takes 50 MB."""

SMALLEST_BATCH = 2
"""In int4, which is asked for on a CPU where memory is short: 3.45 GB, and 3.98 in batches of 6."""

RELEASED_IMAGE_SIZE = 224
"""Pixels a side from which on the images are those of a network of the released size."""

LEAST_SHARDS = 8
SMALL_SHARDS = 4
"""So many shards at the start are small ones: they show early that all is well."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Shards of rows in a row: the first SMALL_SHARDS hold `small` each, the later ones `full`.

    The last one holds what is left. `schemas.run.Plan.images_of` is the same arithmetic.
    """

    small: int
    full: int

    def rows_before(self, shard: int) -> int:
        """How many rows lie in the shards before `shard`, in a listing that is long enough."""
        small = min(shard, SMALL_SHARDS)
        return small * self.small + (shard - small) * self.full

    def shards_for(self, rows: int) -> int:
        """The fewest shards from the first on that hold `rows` rows."""
        later = rows - SMALL_SHARDS * self.small
        if later <= 0:
            return -(-rows // self.small)
        return SMALL_SHARDS - (-later // self.full)

    def shards_of(self, first: int, rows: int) -> npt.NDArray[np.int32]:
        """The shard of each of `rows` rows, of which the first is row `first`."""
        row = np.arange(first, first + rows, dtype=np.int64)
        later = row - SMALL_SHARDS * self.small
        shard = np.where(later < 0, row // self.small, SMALL_SHARDS + later // self.full)
        return shard.astype(np.int32)


def cut_for(total: int, asked: int | None, image_size: int, device: str) -> Cut:
    """The cut of `total` images.

    What was `asked` for is taken as it is. By default a shard is at most an eighth of the whole,
    and less where the model is large, which the `image_size` that it looks at tells.
    """
    if asked is not None:
        if asked < 1:
            raise UsageError(f"--shard-images {asked}: at least 1")
        return Cut(asked, asked)
    full = SHARD_IMAGES[_kind(image_size, device)]
    full = max(1, min(full, total // LEAST_SHARDS))
    return Cut(max(1, full // SMALL_SHARDS), full)


def batch_for(image_size: int, device: str, quantization: str) -> int:
    """Images that a replica looks at together, where nobody asks for another number."""
    kind = _kind(image_size, device)
    if kind == ("released", "cpu") and quantization == INT4:
        return SMALLEST_BATCH
    return BATCH_IMAGES[kind]


def _kind(image_size: int, device: str) -> tuple[str, str]:
    model = "small" if image_size < RELEASED_IMAGE_SIZE else "released"
    return model, "cpu" if device == "cpu" else "cuda"
