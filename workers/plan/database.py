"""Tables that memory does not hold: a DuckDB database in a temporary folder."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from schemas.outcome import StoreError

MEMORY = "256MB"
"""What DuckDB may take; the rest goes to the temporary folder."""

THREADS = 2
SAMPLE = 1000
"""Ids that are looked at to find where a range ends, for each range."""

BATCH_ROWS = 10_240
SIGNAL_SECONDS = 0.1
"""How often one that waits for the database looks whether it is to stop."""

Answer = TypeVar("Answer")

_FAULTS = (duckdb.OperationalError, duckdb.FatalException, pa.ArrowException, OSError)
"""What a full disk comes as; pyarrow passes on what DuckDB says of it."""


@contextmanager
def temporary_folder(what: str) -> Iterator[str]:
    """A folder that is gone afterwards. Raises StoreError where there can be none."""
    with _faults_told("TMPDIR", what):
        temporary = tempfile.TemporaryDirectory(prefix="rows-", ignore_cleanup_errors=True)
    with temporary as folder:
        yield folder


@dataclass(frozen=True, slots=True)
class Range:
    """The ids from `start` on and, unless it is None, before `end`."""

    start: str
    end: str | None

    @property
    def within(self) -> str:
        """The condition, in SQL."""
        return "item_id >= $start" + ("" if self.end is None else " AND item_id < $end")

    def values(self) -> dict[str, str]:
        """What `$start` and `$end` stand for."""
        return {"start": self.start} | ({} if self.end is None else {"end": self.end})


class Database:
    """Tables with a column `item_id`, asked range by range of it.

    The order of ids is that of their UTF-8, which is Python's. Raises StoreError where its folder
    is full.
    """

    def __init__(self, folder: str, what: str, tables: Mapping[str, pa.Schema]) -> None:
        """Empty `tables` in `folder`, which is there: `temporary_folder`.

        `what` they hold stands in errors.
        """
        self._folder = folder
        self._what = what
        with _faults_told(folder, what):
            self._database = duckdb.connect(
                f"{folder}/rows.duckdb",
                config={
                    "memory_limit": MEMORY,
                    "threads": THREADS,
                    "temp_directory": folder,
                    "preserve_insertion_order": False,
                },
            )
            for name, schema in tables.items():
                self._database.from_arrow(schema.empty_table()).create(name)
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

    def create(self, name: str, schema: pa.Schema) -> None:
        """Make one more table, empty."""
        self._ask(lambda: self._database.from_arrow(schema.empty_table()).create(name))

    def insert(self, name: str, rows: pa.Table) -> None:
        """Put `rows` into a table."""
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

    def ranges(self, size: int, *tables: str) -> list[Range]:
        """Ranges that hold about `size` rows of `tables`, together."""
        counts = {}
        for name in tables:
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

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """What the database answers, in a thread: it hears no signal before it is done."""
        with _faults_told(self._folder, self._what):
            future = self._worker.submit(question)
            while not future.done():  # a signal that comes just before one waits wakes nobody
                wait((future,), timeout=SIGNAL_SECONDS)
            return future.result()


@contextmanager
def _faults_told(folder: str, what: str) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        raise StoreError(
            f"{folder}: {what} cannot be sorted there: {str(error).splitlines()[0]}; "
            "free some space, or let TMPDIR name a folder that has more"
        ) from error
