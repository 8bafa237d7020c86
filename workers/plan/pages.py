"""A page of the plan: whole shards, as one Parquet file; and items as rows of a table."""

import hashlib
from collections.abc import Container, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.image import ImageRef, Shard
from schemas.outcome import ErrorCode, Failure
from schemas.run import ListPage, PlanPage
from workers.plan.cut import Cut

PAGE_IMAGES = 100_000
"""A page is full with the shard that reaches this."""

PAGE_BYTES = 64 << 20
"""Or, before it is compressed, with the last shard that is whole within this."""

ITEM_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        # null where it is the item_id
        pa.field("uri", pa.string()),
        pa.field("input_digest", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("row", pa.int64()),
        # a JSON object; null where INPUT says nothing
        pa.field("columns", pa.string()),
        # both null or both set
        pa.field("error_code", pa.string()),
        pa.field("error_message", pa.string()),
        # missing from pages of before, as if nobody had looked
        pa.field("sidecar", pa.string()),
    ]
)

PAGE_SCHEMA = ITEM_SCHEMA.insert(0, pa.field("shard", pa.int32(), nullable=False))

_REPEATED = ["shard", "uri", "error_code"]
"""Columns of which a dictionary is of use; the others hardly say anything twice."""


def items_table(images: Sequence[ImageRef]) -> pa.Table:
    """`images` as a table of ITEM_SCHEMA."""
    failures = [image.failure for image in images]
    return pa.table(
        [
            [image.item_id for image in images],
            [None if image.uri == image.item_id else image.uri for image in images],
            [image.input_digest for image in images],
            [image.size_bytes for image in images],
            [image.offset for image in images],
            [image.row for image in images],
            [image.columns or None for image in images],
            [failure and failure.error_code for failure in failures],
            [failure and failure.error_message for failure in failures],
            [image.sidecar for image in images],
        ],
        schema=ITEM_SCHEMA,
    )


def cut_pages(items: Iterable[pa.RecordBatch], cut: Cut) -> Iterator[pa.Table]:
    """Sorted items, as batches of ITEM_SCHEMA, in tables of PAGE_SCHEMA of a page each."""
    shard = 0
    held = ITEM_SCHEMA.empty_table()
    for batch in items:
        held = pa.concat_tables([held, pa.table(batch)])
        while (after := _page_end(held, cut, shard)) > shard:
            rows = cut.rows_before(after) - cut.rows_before(shard)
            yield _with_shards(held.slice(0, rows), cut, shard)
            held, shard = held.slice(rows), after
    if held.num_rows:
        yield _with_shards(held, cut, shard)


def encode_page(name: str, table: pa.Table) -> tuple[PlanPage, bytes]:
    """The page's entry in plan.json, and its bytes. `table` is one of `cut_pages`."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=_REPEATED)
    data = bytes(buffer.getvalue())
    first, last = table["shard"][0].as_py(), table["shard"][-1].as_py()
    digest = hashlib.sha256(data).hexdigest()
    return PlanPage(name, digest, first, last - first + 1, table.num_rows), data


def encode_list(name: str, table: pa.Table) -> tuple[ListPage, bytes]:
    """The entry in plan.json of a list beside the plan, and its bytes."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    data = bytes(buffer.getvalue())
    return ListPage(name, hashlib.sha256(data).hexdigest(), table.num_rows), data


def decode_page(data: bytes, skip: Container[int] = ()) -> Iterator[Shard]:
    """The shards of the page, in their order, but those whose index is in `skip`."""
    table = _read(data)
    if not table.num_rows:  # all of it is forgotten
        return
    shards, starts = np.unique(table["shard"].to_numpy(), return_index=True)
    ends = [*starts[1:], table.num_rows]
    for index, start, end in zip(shards.tolist(), starts.tolist(), ends, strict=True):
        if index not in skip:
            yield Shard(index, tuple(images_of(table.slice(start, end - start))))


def pick(data: bytes, count: int) -> list[ImageRef]:
    """Up to `count` images of the page, evenly spaced."""
    table = _read(data)
    if not table.num_rows:  # all of it is forgotten
        return []
    places = np.unique(np.linspace(0, table.num_rows - 1, count).astype(int))
    return list(images_of(table.take(places)))


def _read(page: bytes) -> pa.Table:
    """A table of PAGE_SCHEMA."""
    # Not pq.read_table: its threads may outlive the answer, and abort a process that is ending.
    file = pq.ParquetFile(pa.BufferReader(page))
    table = file.read(use_threads=False)
    if "sidecar" not in table.column_names:
        table = table.append_column("sidecar", pa.nulls(table.num_rows, pa.string()))
    return table.select(PAGE_SCHEMA.names)


def _page_end(held: pa.Table, cut: Cut, first: int) -> int:
    """The shard after the page that begins with shard `first`; `first` where it is not full yet."""
    before = cut.rows_before(first)
    full = cut.shards_for(before + PAGE_IMAGES)
    if before + held.num_rows >= cut.rows_before(full):
        return full
    if held.nbytes < PAGE_BYTES:
        return first
    whole = cut.shards_for(before + held.num_rows + 1) - 1
    return max(whole, first)


def _with_shards(items: pa.Table, cut: Cut, first: int) -> pa.Table:
    shards = cut.shards_of(cut.rows_before(first), items.num_rows)
    columns = [pa.chunked_array([pa.array(shards)]), *items.columns]
    return pa.table(columns, schema=PAGE_SCHEMA)


def images_of(page: pa.Table) -> Iterator[ImageRef]:
    """The items of a table of ITEM_SCHEMA, or of PAGE_SCHEMA."""
    columns = page.to_pydict()
    rows = zip(*(columns[name] for name in ITEM_SCHEMA.names), strict=True)
    for item_id, uri, version, size, offset, row, said, code, message, sidecar in rows:
        uri = item_id if uri is None else uri
        failure = None if code is None else Failure(ErrorCode(code), message)
        yield ImageRef(item_id, uri, version, size, offset, row, said or "", failure, sidecar)
