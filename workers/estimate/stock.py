"""What is owed, in counts, and some of it: one look through the sorted listing, within bounds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.image import ImageRef, InputFormat
from schemas.job import JobSpec
from schemas.rows import PassedColumn
from schemas.run import Plan
from workers.plan import Run, cut_for, fill, later_shards, load_shards, require_columns
from workers.plan.cut import SMALL_SHARDS, Cut
from workers.plan.listing import open_listing
from workers.plan.pages import images_of, items_table
from workers.request import Options
from workers.sink import committed

Stretch = tuple[ImageRef, ...]
Sizes = tuple[tuple[int, int], ...]
"""(images, how many shards of so many), in the order in which they are handed out."""

SHARE = 8
"""One image in so many is looked at, at most, where there are more than a few."""
LEAST_IMAGES = 48
"""Are looked at wherever there are so many, and time."""
LEAST_BATCHES = 3
"""Likewise, of each replica: one to warm up with."""
MOST_IMAGES = 512
"""Of one replica, when it is warm."""
WITNESSES = 8

_EXTENSION = r"(?P<extension>\.[A-Za-z0-9]{1,5})$"


@dataclass(slots=True)
class Stock:
    """What a job owes, as the listing knows it."""

    images: int
    images_done: int
    """Of the run that it goes on with."""
    shards: Sizes
    skipped: Mapping[str, int]
    columns: tuple[PassedColumn, ...]
    images_left: int = 0
    """Of that run, that a limit leaves for another night."""
    known_bytes: int = 0
    unsized: int = 0
    """Images whose size the listing does not tell."""
    extensions: Counter[str] = field(default_factory=Counter)
    """In lower case, with the dot; images without one are not counted."""
    stretches: list[Stretch] = field(default_factory=list)
    """Images that follow each other, of which no two stretches have one; in their order."""

    @property
    def bytes(self) -> int | None:
        return None if self.unsized else self.known_bytes

    @property
    def witnesses(self) -> tuple[ImageRef, ...]:
        """Some images from all over: one that a store refuses is not to look like an outage."""
        each = [stretch[:1] for stretch in self.stretches]
        return tuple(chain.from_iterable(thinned(each, WITNESSES)))


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which images are drawn: so many at most, in stretches of so many, from all over the listing.

    A stretch lies anywhere in its own part of the listing: a listing may repeat itself, as of
    pictures and their thumbnails. The same seed draws the same.
    """

    images: int
    stretch: int
    seed: str

    def places(self, owed: int) -> Iterator[range]:
        """Where the stretches lie among `owed` images (1 and up), in their order."""
        length = min(self.stretch, owed)
        count = max(1, min(self.images, owed) // length)
        dice = random.Random(self.seed)
        for number in range(count):
            first, end = number * owed // count, (number + 1) * owed // count
            start = first + dice.randrange(end - first - length + 1)
            yield range(start, start + length)


def stock_of_input(
    job: JobSpec, ordinal: int, options: Options, device: str, batch_size: int, replicas: int
) -> Stock:
    """INPUT as listed now, for the run that would have this ordinal; of it as much is drawn as so
    many replicas may look at. Raises as `workers.plan.freeze`.
    """
    with open_listing(job) as listing:
        filled = fill(listing, job, ordinal, options.most_images)
        columns = listing.columns()
        require_columns(job, columns)
        images = filled.items
        cut = cut_for(images, options.shard_images, job.preprocessing.image_size, device)
        stock = Stock(images, 0, _sizes_of(images, cut), dict(filled.skipped), columns)
        _look_through(stock, listing.in_order(), _sampling(job, images, batch_size, replicas))
    return stock


def stock_of_plan(run: Run, plan: Plan, replicas: int, most: int | None = None) -> Stock:
    """What is owed of a frozen plan to a night of `most` images, and likewise some of it. Raises as
    `load_shards`.
    """
    done = committed(run.output, plan.run_id)
    later = later_shards(plan, done, most)
    sizes = [plan.images_of(shard) for shard in range(plan.shards) if shard not in done | later]
    shards = tuple((size, len(list(group))) for size, group in groupby(sizes))
    owed, left = sum(sizes), sum(map(plan.images_of, later))
    stock = Stock(owed, plan.items - owed - left, shards, plan.skipped, plan.columns, left)
    tables = (items_table(shard.images) for shard in load_shards(run, plan, skip=done | later))
    _look_through(stock, tables, _sampling(run.spec.job, owed, plan.batch_size, replicas))
    return stock


def _sampling(job: JobSpec, owed: int, batch_size: int, replicas: int) -> Sampling:
    """Single images, which stores give one by one; of a Parquet file rows that follow each other,
    which it gives together.
    """
    stretch = batch_size if job.input_format == InputFormat.PARQUET else 1
    least = max(LEAST_IMAGES, LEAST_BATCHES * batch_size * replicas)
    most = (MOST_IMAGES + batch_size) * replicas
    return Sampling(max(least, min(most, owed // SHARE)), stretch, job.fingerprint())


def _sizes_of(images: int, cut: Cut) -> Sizes:
    first = min(images, SMALL_SHARDS * cut.small)
    sizes = []
    for rows, size in ((first, cut.small), (images - first, cut.full)):
        sizes += [(size, rows // size), (rows % size, 1)]
    return tuple((size, count) for size, count in sizes if size and count)


def _look_through(stock: Stock, tables: Iterable[pa.Table], sampling: Sampling) -> None:
    """Count all items, given in tables of ITEM_SCHEMA, and keep those that are drawn."""
    places = list(sampling.places(stock.images)) if stock.images else []
    wanted = np.array([place for stretch in places for place in stretch], dtype=np.int64)
    drawn: list[ImageRef] = []
    before = 0
    for table in tables:
        stock.known_bytes += pc.sum(table["size_bytes"]).as_py() or 0
        stock.unsized += table["size_bytes"].null_count
        stock.extensions.update(_extensions(table))
        first, end = np.searchsorted(wanted, (before, before + table.num_rows))
        drawn += images_of(table.take(wanted[first:end] - before))
        before += table.num_rows
    assert len(drawn) == len(wanted), "the listing held other items than it had counted"
    coming = iter(drawn)
    stock.stretches = [tuple(next(coming) for _ in stretch) for stretch in places]


def _extensions(table: pa.Table) -> dict[str, int]:
    """How many items have which extension: that of their name, else of where they lie, if nothing
    but the image does.
    """
    alone = pc.and_(pc.is_null(table["row"]), pc.is_null(table["error_code"]))
    names = (table["item_id"], pc.if_else(alone, table["uri"], pa.scalar(None, pa.string())))
    found = pc.coalesce(
        *(pc.struct_field(pc.extract_regex(name, _EXTENSION), "extension") for name in names)
    )
    counts = pc.value_counts(pc.utf8_lower(found.drop_null())).to_pylist()
    return {one["values"]: one["counts"] for one in counts}


def thinned(stretches: Sequence[Stretch], images: int) -> list[Stretch]:
    """At least so many images of them, or all, evenly spaced and in their order."""
    length = len(stretches[0])
    count = min(len(stretches), -(-images // length))
    return [stretches[number * len(stretches) // count] for number in range(count)]
