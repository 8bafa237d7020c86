"""A Parquet file without some of its rows: the others in their order and as they were."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.outcome import Status
from schemas.run import PART_KEY, PartFooter

Places = Sequence[tuple[int, int]]
"""As `schemas.forgotten.ErasedFile` has them."""


def places_of(rows: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Rising row numbers as runs of them."""
    runs = groupby(enumerate(rows), lambda numbered: numbered[1] - numbered[0])
    found = [[row for _, row in run] for _, run in runs]
    return tuple((run[0], len(run)) for run in found)


def read_rows(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a Parquet file, and its metadata. Raises as pyarrow does."""
    # Not pq.read_table: its threads may outlive the answer, and abort a process that is ending.
    return pq.ParquetFile(pa.BufferReader(data)).read(columns, use_threads=False)


def taken(table: pa.Table, places: Places) -> pa.Table:
    """Just the rows at these places."""
    pieces = [table.slice(row, count) for row, count in places]
    return pa.concat_tables(pieces) if pieces else table.slice(0, 0)


def without_rows(data: bytes, places: Places) -> bytes:
    """The file without the rows at `places`; of a part the footer counts those that are left."""
    table = read_rows(data)
    kept = np.ones(len(table), dtype=bool)
    for row, count in places:
        kept[row : row + count] = False
    metadata = dict(table.schema.metadata or {})
    if PART_KEY in metadata:
        footer = PartFooter.from_json(metadata[PART_KEY], "its footer")
        lost = failures(taken(table, places))
        left = Counter(footer.failed_by_code) - lost
        gone = len(table) - int(kept.sum())
        metadata[PART_KEY] = _counting(footer, gone - lost.total(), left).to_json()
    rest = table.filter(pa.array(kept)).replace_schema_metadata(metadata)
    buffer = pa.BufferOutputStream()
    pq.write_table(rest, buffer, compression="zstd")
    return bytes(buffer.getvalue())


def failures(rows: pa.Table) -> Counter[str]:
    """How many rows of labels failed, by error code."""
    codes = rows["error_code"].filter(pc.equal(rows["status"], Status.FAILED.value))
    return Counter(map(str, codes.to_pylist()))


def _counting(footer: PartFooter, labelled: int, failed: Mapping[str, int]) -> PartFooter:
    """The footer of a part that lost so many labelled rows, and has these failed ones left."""
    return PartFooter(
        run_id=footer.run_id,
        shard=footer.shard,
        plan_digest=footer.plan_digest,
        attempt=footer.attempt,
        labelled=footer.labelled - labelled,
        failed=sum(failed.values()),
        failed_by_code=dict(failed),
    )
