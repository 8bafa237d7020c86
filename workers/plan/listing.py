"""What INPUT was found to hold, sorted outside memory: a DuckDB database in a temporary folder."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.image import ImageRef
from schemas.passed import PassedTypes
from schemas.rows import PassedColumn
from workers.plan.database import Database, Range, temporary_folder
from workers.plan.pages import ITEM_SCHEMA, items_table

WHAT = "the listing"
BLOCK_IMAGES = 61_440
"""So many at once go to the database."""

BLOCK_BYTES = 32 << 20
"""Or fewer, with so many characters of columns."""

RANGE_ITEMS = 5_000_000
"""About so many ids are counted and sorted at a time. Of ten times as many DuckDB cannot count the
different ones within its memory, and to merge what it sorted it needs some for each run.
"""

_LISTED = ITEM_SCHEMA.append(pa.field("turn", pa.int64(), nullable=False)).append(
    # what `JobSpec.input_digest` says; null where it is the input_digest
    pa.field("looked_at", pa.string())
)
_CHOSEN = pa.schema([pa.field("item_id", pa.string(), nullable=False)])


@dataclass(frozen=True, slots=True)
class Tally:
    """How much a listing holds."""

    listed: int
    items: int
    """Of different ids."""
    chosen: int
    """Of these, how many are given back."""


@contextmanager
def open_listing(looked_at: Callable[[ImageRef], str | None] | None = None) -> Iterator["Listing"]:
    """An empty listing, in a temporary folder that is gone afterwards. `looked_at` tells the
    version of all that is looked at of an item, where that is more than its own.

    Raises StoreError where there is no such folder, or it cannot be written.
    """
    with temporary_folder(WHAT) as folder, closing(Listing(folder, looked_at)) as listing:
        yield listing


class Listing(Database):
    """The items of INPUT, put in as they are listed and given back in the order of their ids.

    The order is that of the ids' UTF-8, which is Python's. Of an item that was listed again the
    last word counts. Raises StoreError where its folder is full.
    """

    def __init__(
        self, folder: str, looked_at: Callable[[ImageRef], str | None] | None = None
    ) -> None:
        """In `folder`, which is there; `open_listing` makes one."""
        super().__init__(folder, WHAT, {"listed": _LISTED, "chosen": _CHOSEN})
        self._looked_at = looked_at
        self._types = PassedTypes()
        self._block: list[ImageRef] = []
        self._block_bytes = 0
        self._listed = 0
        self._all = True

    def add(self, images: Sequence[ImageRef]) -> None:
        """Put items in. Raises UsageError where the names of their columns do not end."""
        for image in images:
            if image.columns:
                self._types.look_at(image.columns)
                self._block_bytes += len(image.columns)
        self._block += images
        if len(self._block) >= BLOCK_IMAGES or self._block_bytes >= BLOCK_BYTES:
            self._flush()

    def choose(self, ids: Iterable[pa.Array]) -> int:
        """From now on only items of these ids, each of which is said once; how many they are."""
        self._all = False
        count = 0
        for block in ids:
            self.insert("chosen", pa.table([block], schema=_CHOSEN))
            count += len(block)
        return count

    def choose_by(self, query: str, values: Mapping[str, object]) -> None:
        """From now on only items whose ids the SQL `query` gives, or one before did."""
        self._all = False
        self.run(f"INSERT INTO chosen {query}", values)

    def columns(self) -> tuple[PassedColumn, ...]:
        """What the items have beside their images."""
        return self._types.columns()

    def tally(self) -> Tally:
        """How much there is."""
        items = chosen = 0
        for some in self.ranges(RANGE_ITEMS):
            items += self._count(some, chosen=False)
            chosen += 0 if self._all else self._count(some, chosen=True)
        return Tally(self._listed, items, items if self._all else chosen)

    def in_order(self) -> Iterator[pa.Table]:
        """The chosen items, in tables of ITEM_SCHEMA."""
        last = None
        for some in self.ranges(RANGE_ITEMS):
            for table in self._sorted(some):
                yield _without_repeats(table, last)
                last = table["item_id"][-1]

    def ranges(self, size: int, *tables: str) -> list[Range]:
        """Ranges that hold about `size` of the ids listed and of `tables`, together."""
        self._flush()
        return super().ranges(size, "listed", *tables)

    def _sorted(self, some: Range) -> Iterator[pa.Table]:
        rows = _rows(some, chosen=not self._all)
        query = f"SELECT * EXCLUDE (turn, looked_at) {rows} ORDER BY item_id, turn DESC"
        for batch in self.stream(query, some.values()):
            yield pa.Table.from_arrays(batch.columns, schema=ITEM_SCHEMA)

    def _count(self, some: Range, chosen: bool) -> int:
        query = f"SELECT count(DISTINCT item_id) {_rows(some, chosen)}"
        ((count,),) = self.run(query, some.values())
        return int(count)

    def _flush(self) -> None:
        if not self._block:
            return
        turns = np.arange(self._listed, self._listed + len(self._block))
        versions = [self._looked_at(image) if self._looked_at else None for image in self._block]
        table = items_table(self._block).append_column(_LISTED.field("turn"), [turns])
        table = table.append_column(_LISTED.field("looked_at"), [pa.array(versions, pa.string())])
        self._listed += len(self._block)
        self._block, self._block_bytes = [], 0
        self.insert("listed", table)


def _rows(some: Range, chosen: bool) -> str:
    """The rows listed with an id of the range, or of these the chosen ones."""
    among = f"item_id IN (SELECT item_id FROM chosen WHERE {some.within})"
    return f"FROM listed WHERE {some.within}" + f" AND {among}" * chosen


def _without_repeats(items: pa.Table, last: pa.Scalar | None) -> pa.Table:
    """Sorted `items`, the first of each id alone, and none whose id is `last`."""
    ids = items["item_id"].combine_chunks()
    fresh = np.ones(len(ids), dtype=bool)
    fresh[0] = last is None or ids[0] != last
    fresh[1:] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    return items if fresh.all() else items.filter(pa.array(fresh))
