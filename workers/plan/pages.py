"""A page of the plan: whole shards, as one Parquet file."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.image import ImageRef, Shard
from schemas.run import PlanPage

PAGE_IMAGES = 100_000
"""A page is full with the shard that reaches this."""

PAGE_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("input_digest", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
    ]
)


def group_pages(shards: Iterable[Shard]) -> Iterator[list[Shard]]:
    """`shards` in groups of a page each."""
    page: list[Shard] = []
    images = 0
    for shard in shards:
        page.append(shard)
        images += len(shard)
        if images >= PAGE_IMAGES:
            yield page
            page, images = [], 0
    if page:
        yield page


def encode_page(name: str, shards: Sequence[Shard]) -> tuple[PlanPage, bytes]:
    """The page's entry in plan.json, and its bytes."""
    rows = [(shard.index, image) for shard in shards for image in shard.images]
    table = pa.table(
        [
            [index for index, _ in rows],
            [image.item_id for _, image in rows],
            [image.uri for _, image in rows],
            [image.input_digest for _, image in rows],
            [image.size_bytes for _, image in rows],
        ],
        schema=PAGE_SCHEMA,
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    data = bytes(buffer.getvalue())
    digest = hashlib.sha256(data).hexdigest()
    return PlanPage(name, digest, shards[0].index, len(shards), len(rows)), data


def decode_page(data: bytes) -> Iterator[Shard]:
    """The shards that `encode_page` wrote, in their order."""
    # Not pq.read_table: its threads may outlive the answer, and abort a process that is ending.
    table = pq.ParquetFile(pa.BufferReader(data)).read(PAGE_SCHEMA.names, use_threads=False)
    columns = table.to_pydict()
    rows = zip(*(columns[name] for name in PAGE_SCHEMA.names), strict=True)
    for index, group in groupby(rows, key=lambda row: row[0]):
        yield Shard(index, tuple(ImageRef(*row[1:]) for row in group))
