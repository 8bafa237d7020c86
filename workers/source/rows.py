"""Images that are rows of Parquet files, read as they come: in order, or nearly so."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import pyarrow.parquet as pq

from schemas.image import ImageRef
from schemas.outcome import ChangedSincePlanError, EmptyFileError, ReadFailedError
from workers.source.fetching import SpanFile, broken, bytes_of, entry_of
from workers.source.parquet import image_column, open_parquet, reading
from workers.store import Patience

OPEN_FILES = 4
"""For a fifth the one is closed that was not read for longest."""
BATCH_ROWS = 8
"""Decoded at once."""
KEPT_BATCHES = 32
KEPT_BYTES = 64 << 20
"""Of rows already passed, for threads that come a little late; two batches are kept whatever their
size."""


class Rows:
    """Some Parquet files, open where they were read last. For many threads."""

    def __init__(self, column: str, patience: Callable[[], Patience]) -> None:
        """`column` is the job's `image_column`; `patience` is asked for with each request."""
        self._column = column
        self._patience = patience
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[str, str], _File] = OrderedDict()

    def read(self, ref: ImageRef, row: int) -> bytes:
        """The image in `row` of the file `ref.uri`, of just the planned version.

        Raises EmptyFileError where it is null, BrokenContainerError where the file cannot be read
        there, and as `bytes_of`.
        """
        data = self._file(ref.uri, ref.input_digest).read(row)
        if data is None:
            raise EmptyFileError(f"{ref.item_id} holds no image: it is null")
        return data

    def _file(self, uri: str, version: str) -> _File:
        with self._lock:
            file = self._files.pop((uri, version), None)
            if file is None:
                file = _File(uri, version, self._column, self._patience)
            self._files[uri, version] = file  # the last in line to be closed
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)
            return file


class _File:
    """One file; it is opened by whoever reads it first, or next after a failure."""

    def __init__(
        self, uri: str, version: str, column: str, patience: Callable[[], Patience]
    ) -> None:
        self._uri = uri
        self._version = version
        self._column = column
        self._patience = patience
        self._lock = threading.Lock()
        self._outages = 0
        self._stream: _Stream | None = None

    def read(self, row: int) -> bytes | None:
        outages = self._outages
        with self._lock:
            if self._outages > outages:  # not each in turn, each with a patience of its own
                raise ReadFailedError(f"{self._uri} cannot be read: the store does not answer")
            stream, self._stream = self._stream, None  # one that fails is not used again
            try:
                stream = stream or self._open()
                data = stream.read(row)
            except ReadFailedError:
                self._outages += 1
                raise
            self._stream = stream
            return data

    def _open(self) -> _Stream:
        entry = entry_of(self._uri, self._patience())
        if self._version and entry.version != self._version:
            raise ChangedSincePlanError(
                f"{self._uri} changed since the plan: {self._version} is now {entry.version}"
            )
        spans = SpanFile(
            entry.size_bytes or 0,
            lambda span: bytes_of(self._uri, self._version, self._patience(), span),
        )
        with reading(self._uri):
            file = open_parquet(spans)
            schema = file.schema_arrow
        return _Stream(self._uri, file, image_column(self._uri, schema, self._column).leaf)


class _Stream:
    """The rows of one column, a batch after the other. To go on costs a batch, to go back what lies
    before in the row group, which is never whole in memory.
    """

    def __init__(self, uri: str, file: pq.ParquetFile, leaf: str) -> None:
        self._uri = uri
        self._file = file
        self._leaf = leaf
        groups = range(file.metadata.num_row_groups)
        self._ends = list(accumulate(file.metadata.row_group(group).num_rows for group in groups))
        self._batches: Iterator[Any] = iter(())
        self._next = file.metadata.num_rows  # nothing is under way: every row lies before
        self._kept: deque[tuple[int, Any]] = deque(maxlen=KEPT_BATCHES)
        """First row and values of each batch."""

    def read(self, row: int) -> bytes | None:
        """Raises BrokenContainerError, and as `bytes_of`."""
        group = bisect_right(self._ends, row)
        if group == len(self._ends):
            raise broken(self._uri, f"it has no row {row:,}")
        if not self._holds(row) and (
            row < self._next or bisect_right(self._ends, self._next) != group
        ):
            self._start(group)
        while not self._holds(row):
            self._go_on()
        first, values = next(one for one in reversed(self._kept) if one[0] <= row)
        value = values[row - first].as_py()
        return value.get("bytes") if isinstance(value, dict) else value

    def _holds(self, row: int) -> bool:
        return bool(self._kept) and self._kept[0][0] <= row < self._next

    def _start(self, group: int) -> None:
        self._kept.clear()
        self._next = self._ends[group - 1] if group else 0
        with reading(self._uri):
            self._batches = self._file.iter_batches(
                BATCH_ROWS,
                row_groups=range(group, len(self._ends)),
                columns=[self._leaf],
                use_threads=False,
            )

    def _go_on(self) -> None:
        with reading(self._uri):
            batch = next(self._batches, None)
        if batch is None:
            raise broken(self._uri, f"its rows end before row {self._next:,}")
        self._kept.append((self._next, batch.column(0)))
        self._next += batch.num_rows
        while len(self._kept) > 2 and sum(kept.nbytes for _, kept in self._kept) > KEPT_BYTES:
            self._kept.popleft()
