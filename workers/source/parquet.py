"""A Parquet file → its rows, each an image as bytes or as a URI, with its other columns."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

from schemas.image import ImageRef
from schemas.outcome import UsageError
from workers.source.columns import (
    BYTES_NAMES,
    URI_NAMES,
    encode_columns,
    find_column,
    require_unlike,
)
from workers.source.containers import Container
from workers.source.fetching import SpanFile, broken
from workers.source.page import PAGE_IMAGES, Outcome
from workers.source.references import item_of, row_id

BUFFER = 1 << 20
"""Bytes of a column that are asked for at once."""


@dataclass(frozen=True, slots=True)
class ImageColumn:
    """The column of a Parquet file that is its images."""

    name: str
    holds_bytes: bool
    """Else a URI."""
    leaf: str
    """What is read of it: the column, or of Hugging Face's struct the field `bytes`."""


def open_parquet(file: SpanFile) -> pq.ParquetFile:
    """The file, its footer read; the rest is asked for as rows are read, one page of a column after
    the other, by the thread that reads.
    """
    return pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)


def image_column(place: str, schema: pa.Schema, asked: str) -> ImageColumn:
    """Which column of the file at `place` is the image: the one that was `asked` for ("": left
    open), else the only one of bytes, else one by its name.

    Raises UsageError where that is none or not one, or a column that can be no image.
    """
    require_unlike(place, schema.names)
    of_bytes = [field.name for field in schema if _holds_bytes(field.type)]
    of_text = [field.name for field in schema if _is_text(field.type)]
    if len(of_bytes) == 1 and not asked:
        name = of_bytes[0]
    else:
        fitting, names = (of_bytes, BYTES_NAMES) if of_bytes else (of_text, URI_NAMES)
        name = find_column(place, schema.names, asked, fitting, names)
    kind = schema.field(name).type
    if name not in of_bytes and name not in of_text:
        raise UsageError(f"{place}: column {name!r} is {kind}, neither bytes nor a URI")
    leaf = f"{name}.bytes" if kinds.is_struct(kind) else name
    return ImageColumn(name, name in of_bytes, leaf)


def rows(parquet: Container, asked: str) -> Iterator[Outcome]:
    """An item for each row of `parquet`; where a row names its image, without that one's version.

    Raises UsageError as `image_column`, BrokenContainerError where the file cannot be read on, and
    as `bytes_of`.
    """
    with reading(parquet.uri):
        file = open_parquet(parquet.spans())
        schema = file.schema_arrow
    image = image_column(parquet.uri, schema, asked)
    beside = [field.name for field in schema if field.name != image.name and _passes(field.type)]
    wanted = beside if image.holds_bytes else [*beside, image.name]
    row = 0
    for count, values in _batches(parquet, file, wanted):
        for index in range(count):
            columns = encode_columns({name: values[name][index] for name in beside})
            item_id = row_id(parquet.uri, row)
            if image.holds_bytes:
                yield ImageRef(
                    item_id, parquet.uri, parquet.version, None, row=row, columns=columns
                )
            else:
                yield item_of(parquet.uri, item_id, values[image.name][index], columns)
            row += 1


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Whatever pyarrow says of a file that it cannot read is BrokenContainerError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise broken(uri, error) from error


def _batches(
    parquet: Container, file: pq.ParquetFile, wanted: list[str]
) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    """How many rows, and their values in the columns `wanted`, which may be none."""
    if not wanted:
        yield file.metadata.num_rows, {}
        return
    batches = file.iter_batches(PAGE_IMAGES, columns=wanted, use_threads=False)
    while True:
        with reading(parquet.uri):
            batch = next(batches, None)
            if batch is None:
                return
            values = {name: _plain(batch.column(name)) for name in wanted}
        yield batch.num_rows, values


def _holds_bytes(kind: pa.DataType) -> bool:
    if kinds.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_binary(kind.field(index).type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        kinds.is_binary(kind)
        or kinds.is_large_binary(kind)
        or kinds.is_binary_view(kind)
        or kinds.is_fixed_size_binary(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if kinds.is_dictionary(kind) else kind
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _passes(kind: pa.DataType) -> bool:
    """Whether a column of `kind` is passed on: text, numbers, bools, dates and times."""
    kind = kind.value_type if kinds.is_dictionary(kind) else kind
    return (
        _is_text(kind)
        or kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or kinds.is_boolean(kind)
        or kinds.is_null(kind)
        or _is_spelt(kind)
    )


def _is_spelt(kind: pa.DataType) -> bool:
    """Whether JSON lacks values of `kind`, so that they become text: ISO 8601, or all digits."""
    return bool(
        kinds.is_decimal(kind)
        or kinds.is_date(kind)
        or kinds.is_time(kind)
        or kinds.is_timestamp(kind)
    )


def _plain(column: pa.Array) -> list[Any]:
    """The values of a column that `_passes`, times of a zone in UTC."""
    if kinds.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        said = _bytes_of(column)
        return [None if one is None else one.decode(errors="surrogateescape") for one in said]
    if not _is_spelt(column.type):
        return list(column.to_pylist())
    if not kinds.is_timestamp(column.type):
        return list(column.cast(pa.string()).to_pylist())
    if column.type.tz:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    texts = column.cast(pa.string()).to_pylist()
    return [text and text.replace(" ", "T", 1) for text in texts]


def _bytes_of(texts: pa.Array) -> list[bytes | None]:
    """Parquet does not promise that its texts are UTF-8."""
    return list(texts.cast(pa.large_string()).cast(pa.large_binary()).to_pylist())
