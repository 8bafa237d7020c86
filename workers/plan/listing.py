"""What INPUT was found to hold, sorted outside memory: a DuckDB database in a temporary folder."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.image import ImageRef
from schemas.outcome import StoreError
from schemas.passed import PassedTypes
from schemas.rows import PassedColumn
from workers.plan.pages import ITEM_SCHEMA, items_table

MEMORY = "256MB"
"""What DuckDB may take; the rest goes to the temporary folder."""

THREADS = 2
BLOCK_IMAGES = 61_440
"""So many at once go to the database."""

BLOCK_BYTES = 32 << 20
"""Or fewer, with so many characters of columns."""

RANGE_ITEMS = 5_000_000
"""About so many ids are counted and sorted at a time. Of ten times as many DuckDB cannot count the
different ones within its memory, and to merge what it sorted it needs some for each run.
"""

SAMPLE = 1000
"""Ids that are looked at to find where such a range ends, for each range."""

BATCH_ROWS = 10_240
SIGNAL_SECONDS = 0.1
"""How often one that waits for the database looks whether it is to stop."""

Answer = TypeVar("Answer")

_LISTED = ITEM_SCHEMA.append(pa.field("turn", pa.int64(), nullable=False)).append(
    # what `JobSpec.input_digest` says; null where it is the input_digest
    pa.field("looked_at", pa.string())
)
_CHOSEN = pa.schema([pa.field("item_id", pa.string(), nullable=False)])
_FAULTS = (duckdb.OperationalError, duckdb.FatalException, pa.ArrowException, OSError)
"""What a full disk comes as; pyarrow passes on what DuckDB says of it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How much a listing holds."""

    listed: int
    items: int
    """Of different ids."""
    chosen: int
    """Of these, how many are given back."""


@contextmanager
def open_listing(looked_at: Callable[[ImageRef], str] | None = None) -> Iterator["Listing"]:
    """An empty listing, in a temporary folder that is gone afterwards. `looked_at` tells the
    version of all that is looked at of an item, where that is more than its own.

    Raises StoreError where there is no such folder, or it cannot be written.
    """
    with _faults_told("TMPDIR"):
        temporary = tempfile.TemporaryDirectory(prefix="plan-", ignore_cleanup_errors=True)
    with temporary as folder, closing(Listing(folder, looked_at)) as listing:
        yield listing


@dataclass(frozen=True, slots=True)
class Range:
    """The ids from `start` on and, unless it is None, before `end`."""

    start: str
    end: str | None

    @property
    def within(self) -> str:
        """The condition, in SQL."""
        return "item_id >= $start" + ("" if self.end is None else " AND item_id < $end")

    def rows(self, chosen: bool) -> str:
        """The rows listed with such an id, or of these the chosen ones."""
        among = f"item_id IN (SELECT item_id FROM chosen WHERE {self.within})"
        return f"FROM listed WHERE {self.within}" + f" AND {among}" * chosen

    def values(self) -> dict[str, str]:
        """What `$start` and `$end` stand for."""
        return {"start": self.start} | ({} if self.end is None else {"end": self.end})


class Listing:
    """The items of INPUT, put in as they are listed and given back in the order of their ids.

    The order is that of the ids' UTF-8, which is Python's. Of an item that was listed again the
    last word counts. Raises StoreError where its folder is full.
    """

    def __init__(self, folder: str, looked_at: Callable[[ImageRef], str] | None = None) -> None:
        """In `folder`, which is there; `open_listing` makes one."""
        self._folder = folder
        self._looked_at = looked_at
        self._types = PassedTypes()
        self._block: list[ImageRef] = []
        self._block_bytes = 0
        self._listed = 0
        self._all = True
        with _faults_told(folder):
            self._database = duckdb.connect(
                f"{folder}/listing.duckdb",
                config={
                    "memory_limit": MEMORY,
                    "threads": THREADS,
                    "temp_directory": folder,
                    "preserve_insertion_order": False,
                },
            )
            for name, schema in (("listed", _LISTED), ("chosen", _CHOSEN)):
                self.create(name, schema)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="database")
        # now: of a thread that a signal comes upon while it starts the pool would know nothing
        self._worker.submit(int).result()

    def close(self) -> None:
        """Let go of the folder's files, and of a question to which nobody waits for the answer."""
        idle = self._worker.submit(int)
        while not idle.done():
            self._database.interrupt()  # one that comes before the question is lost
            wait((idle,), timeout=SIGNAL_SECONDS)
        self._worker.shutdown()
        with suppress(duckdb.Error):  # a full disk, of which has been told
            self._database.close()

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

    # what workers.plan.owed adds to it

    def create(self, name: str, schema: pa.Schema) -> None:
        """An empty table of the database."""
        self._database.from_arrow(schema.empty_table()).create(name)

    def insert(self, name: str, rows: pa.Table) -> None:
        """Put `rows` into a table of the database."""
        self._ask(lambda: self._database.from_arrow(rows).insert_into(name))

    def run(self, query: str, values: Mapping[str, object]) -> list[Any]:
        """What the database answers to the SQL `query`: a few rows."""
        return self._ask(lambda: self._database.execute(query, values).fetchall())

    def stream(self, query: str, values: Mapping[str, object]) -> Iterator[pa.RecordBatch]:
        """Likewise, in batches of up to BATCH_ROWS rows; none is empty."""
        batches = self._ask(
            lambda: iter(self._database.sql(query, params=dict(values)).to_arrow_reader(BATCH_ROWS))
        )
        while (batch := self._ask(lambda: next(batches, None))) is not None:
            if batch.num_rows:
                yield batch

    def ranges(self, size: int, *others: str) -> list[Range]:
        """Ranges that hold about `size` of the ids listed and of the tables `others`, together."""
        self._flush()
        counts = {"listed": self._listed}
        for name in others:
            ((counts[name],),) = self.run(f"SELECT count(*) FROM {name}", {})
        count = -(-sum(counts.values()) // size)
        if count < 2:
            return [Range("", None)]
        ids: list[str] = []
        for name, rows in counts.items():
            drawn = -(-SAMPLE * count * rows // sum(counts.values()))
            query = f"SELECT item_id FROM {name} USING SAMPLE reservoir({drawn} ROWS)"
            ids += (item_id for (item_id,) in self.run(query, {}))
        ids.sort()
        ends = sorted({ids[len(ids) * turn // count] for turn in range(1, count)})
        return [Range(*ids) for ids in zip(["", *ends], [*ends, None], strict=True)]

    def _sorted(self, some: Range) -> Iterator[pa.Table]:
        rows = some.rows(chosen=not self._all)
        query = f"SELECT * EXCLUDE (turn, looked_at) {rows} ORDER BY item_id, turn DESC"
        for batch in self.stream(query, some.values()):
            yield pa.Table.from_arrays(batch.columns, schema=ITEM_SCHEMA)

    def _count(self, some: Range, chosen: bool) -> int:
        query = f"SELECT count(DISTINCT item_id) {some.rows(chosen)}"
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

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """What the database answers, in a thread: it hears no signal before it is done."""
        with _faults_told(self._folder):
            future = self._worker.submit(question)
            while not future.done():  # a signal that comes just before one waits wakes nobody
                wait((future,), timeout=SIGNAL_SECONDS)
            return future.result()


def _without_repeats(items: pa.Table, last: pa.Scalar | None) -> pa.Table:
    """Sorted `items`, the first of each id alone, and none whose id is `last`."""
    ids = items["item_id"].combine_chunks()
    fresh = np.ones(len(ids), dtype=bool)
    fresh[0] = last is None or ids[0] != last
    fresh[1:] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    return items if fresh.all() else items.filter(pa.array(fresh))


@contextmanager
def _faults_told(folder: str) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        raise StoreError(
            f"{folder}: the listing cannot be sorted there: {str(error).splitlines()[0]}; "
            "free some space, or let TMPDIR name a folder that has more"
        ) from error
