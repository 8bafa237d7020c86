"""What INPUT was found to hold, sorted outside memory: a DuckDB database in a temporary folder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.image import ImageRef
from schemas.job import TEXT_VERSION, JobSpec
from schemas.passed import PassedTypes
from schemas.rows import PassedColumn
from workers.plan.database import Database, Range, temporary_folder
from workers.plan.pages import ITEM_SCHEMA, items_table
from workers.source.kinds import SIDECAR_ENDING, stem_of
from workers.store import Entry

WHAT = "the listing"
BLOCK_IMAGES = 61_440
"""So many at once go to the database."""

BLOCK_BYTES = 32 << 20
"""Or fewer, with so many characters of columns."""

RANGE_ITEMS = 5_000_000
"""About so many ids are counted and sorted at a time. Of ten times as many DuckDB cannot count the
different ones within its memory, and to merge what it sorted it needs some for each run.
"""

_BESIDES = [
    pa.field("turn", pa.int64(), nullable=False),
    # what `JobSpec.input_digest` says; null where it is the input_digest
    pa.field("looked_at", pa.string()),
    # null where a listing tells of no sidecars
    pa.field("stem", pa.string()),
]
_LISTED = pa.schema([*ITEM_SCHEMA, *_BESIDES])
_CHOSEN = pa.schema([pa.field("item_id", pa.string(), nullable=False)])
_SIDECARS = pa.schema(
    [
        # the stem of its images' ids
        pa.field("item_id", pa.string(), nullable=False),
        # null where the store tells none
        pa.field("version", pa.string()),
    ]
)

_JOIN = f"""
INSERT INTO joined
SELECT listed.* REPLACE (
    CASE WHEN text.item_id IS NULL THEN '' ELSE text.version END AS sidecar,
    input_digest || '{TEXT_VERSION}' || text.version AS looked_at
)
FROM (FROM listed WHERE {{within}}) AS listed
LEFT JOIN (FROM sidecars WHERE {{within}} OR starts_with($start, item_id)) AS text
ON listed.stem = text.item_id
"""
"""The items of a range, with their texts' versions. An id begins with its stem, which lies hence in
the range too, or is what the range begins with. Of a text that was listed again its item becomes
two, which are one in the end.
"""


@dataclass(frozen=True, slots=True)
class Tally:
    """How much a listing holds."""

    listed: int
    items: int
    """Of different ids."""
    chosen: int
    """Of these, how many are given back."""


@contextmanager
def open_listing(job: JobSpec | None = None) -> Iterator["Listing"]:
    """An empty listing for `job`, in a temporary folder that is gone afterwards; where there is no
    job, nothing but images is looked at.

    Raises StoreError where there is no such folder, or it cannot be written.
    """
    with temporary_folder(WHAT) as folder, closing(Listing(folder, job)) as listing:
        yield listing


class Listing(Database):
    """The items of INPUT, put in as they are listed and given back in the order of their ids.

    The order is that of the ids' UTF-8, which is Python's. Of an item that was listed again the
    last word counts. Raises StoreError where its folder is full.
    """

    def __init__(self, folder: str, job: JobSpec | None = None) -> None:
        """In `folder`, which is there; `open_listing` makes one."""
        tables = {"listed": _LISTED, "chosen": _CHOSEN, "sidecars": _SIDECARS}
        super().__init__(folder, WHAT, tables)
        self._job = job
        self._sidecars = job is not None and job.lists_sidecars
        self._types = PassedTypes()
        self._block: list[ImageRef] = []
        self._beside: list[Entry] = []
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

    def add_sidecars(self, texts: Sequence[Entry]) -> None:
        """Put in what may lie beside items, put in before or later, as their text."""
        self._beside += texts
        if len(self._beside) >= BLOCK_IMAGES:
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
        self._join_sidecars()
        return super().ranges(size, "listed", *tables)

    def _join_sidecars(self) -> None:
        """Once, when all is put in. By itself, for DuckDB has no memory to sort meanwhile."""
        if not self._sidecars:
            return
        self._sidecars = False
        self.create("joined", _LISTED)
        for some in super().ranges(RANGE_ITEMS, "listed", "sidecars"):
            self.run(_JOIN.format(within=some.within), some.values())
        for table in ("listed", "sidecars"):
            self.run(f"DROP TABLE {table}", {})
        self.run("ALTER TABLE joined RENAME TO listed", {})

    def _sorted(self, some: Range) -> Iterator[pa.Table]:
        rows = _rows(some, chosen=not self._all)
        query = f"SELECT * EXCLUDE (turn, looked_at, stem) {rows} ORDER BY item_id, turn DESC"
        for batch in self.stream(query, some.values()):
            yield pa.Table.from_arrays(batch.columns, schema=ITEM_SCHEMA)

    def _count(self, some: Range, chosen: bool) -> int:
        query = f"SELECT count(DISTINCT item_id) {_rows(some, chosen)}"
        ((count,),) = self.run(query, some.values())
        return int(count)

    def _flush(self) -> None:
        if self._block:
            columns = [
                np.arange(self._listed, self._listed + len(self._block)),
                [self._job.looked_at(image) if self._job else None for image in self._block],
                [stem_of(image.uri) if self._sidecars else None for image in self._block],
            ]
            items = items_table(self._block)
            table = pa.table([*items.columns, *columns], schema=_LISTED)
            self._listed += len(self._block)
            self._block, self._block_bytes = [], 0
            self.insert("listed", table)
        if self._beside:
            stems = [text.uri.removesuffix(SIDECAR_ENDING) for text in self._beside]
            versions = [text.version or None for text in self._beside]
            self._beside = []
            self.insert("sidecars", pa.table([stems, versions], schema=_SIDECARS))


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
