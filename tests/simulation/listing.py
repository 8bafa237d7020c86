"""`workers.plan.listing.Listing` in memory: what the real one costs is a database a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from schemas.image import ImageRef
from schemas.job import JobSpec
from schemas.rows import PassedColumn
from workers.plan.listing import Tally
from workers.plan.pages import items_table
from workers.store import Entry


class ListingInMemory:
    """The items of INPUT in the order of their ids; of one listed again the last word counts."""

    def __init__(self) -> None:
        self._listed: list[ImageRef] = []

    def add(self, images: Sequence[ImageRef]) -> None:
        self._listed += images

    def add_sidecars(self, texts: Sequence[Entry]) -> None:
        assert not texts, "the simulated job reads none"

    def columns(self) -> tuple[PassedColumn, ...]:
        return ()

    def tally(self) -> Tally:
        items = len({image.item_id for image in self._listed})
        return Tally(len(self._listed), items, items)

    def in_order(self) -> Iterator[pa.Table]:
        items = {image.item_id: image for image in self._listed}
        yield items_table([items[item_id] for item_id in sorted(items)])


@contextmanager
def open_listing(job: JobSpec) -> Iterator[ListingInMemory]:
    yield ListingInMemory()
