"""A manifest, CSV or JSON lines → its rows, each an image named by URI."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from typing import Any

from schemas.image import ImageRef
from workers.source.columns import URI_NAMES, encode_columns, find_column, require_unlike
from workers.source.containers import Container
from workers.source.fetching import broken
from workers.source.page import Outcome
from workers.source.references import failed_item, item_of, row_id

LONGEST_LINE = 16 << 20
"""Bytes of a line, and characters of a field."""

csv.field_size_limit(LONGEST_LINE)  # 128 KiB otherwise, less than some texts beside an image


def csv_rows(manifest: Container, asked: str) -> Iterator[Outcome]:
    """An item for each row under the header, without its image's version; all columns are text.

    UTF-8, with or without its mark; commas, and quotes where a field needs them. Empty lines are no
    rows. Raises UsageError where no column of the header is the image, BrokenContainerError where
    the manifest cannot be read on, and as `bytes_of`.
    """
    with _open(manifest) as file:
        table = csv.reader(_texts(manifest, file), strict=True)
        header = next(_filled(manifest, table), None)
        if header is None:
            return
        require_unlike(manifest.uri, header)
        column = find_column(manifest.uri, header, asked, header, URI_NAMES)
        for row, cells in enumerate(_filled(manifest, table)):
            item_id = row_id(manifest.uri, row)
            if len(cells) != len(header):
                why = f"{item_id} has {len(cells)} cells, and the header {len(header)}"
                yield failed_item(manifest.uri, item_id, why)
                continue
            yield _item(manifest, item_id, dict(zip(header, cells, strict=True)), column)


def jsonl_rows(manifest: Container, asked: str) -> Iterator[Outcome]:
    """An item for each line, without its image's version. Values keep their JSON type.

    Empty lines are no rows; one that is no JSON object is an item that has failed. Raises as
    `csv_rows`; the columns are those of the first object.
    """
    column = ""
    row = 0
    with _open(manifest) as file:
        for number, line in enumerate(_lines(manifest, file), 1):
            if not line.strip():
                continue
            item_id = row_id(manifest.uri, row)
            row += 1
            try:
                values = json.loads(line.decode())
            except (ValueError, RecursionError) as error:  # bytes that are no UTF-8 included
                values = error
            if not isinstance(values, dict):
                what = f": {values}" if isinstance(values, Exception) else ""
                why = f"{item_id}: line {number} is no JSON object{what}"
                yield failed_item(manifest.uri, item_id, why)
                continue
            column = column or find_column(manifest.uri, [*values], asked, [*values], URI_NAMES)
            yield _item(manifest, item_id, values, column)


def _item(manifest: Container, item_id: str, values: dict[str, object], column: str) -> ImageRef:
    reference = values.pop(column, None)
    return item_of(manifest.uri, item_id, reference, encode_columns(values))


@contextmanager
def _open(manifest: Container) -> Iterator[BufferedIOBase]:
    """The manifest's bytes, unpacked where its name ends with `.gz`."""
    with manifest.blocks() as blocks:
        if not manifest.uri.lower().endswith(".gz"):
            yield blocks
            return
        with gzip.GzipFile(fileobj=blocks) as file:
            yield file


def _lines(manifest: Container, file: BufferedIOBase) -> Iterator[bytes]:
    """The lines with their ends, without the mark before the first."""
    number = 0
    while True:
        try:
            line = file.readline(LONGEST_LINE)
        except (OSError, EOFError, zlib.error) as error:  # of a .gz; the store's are ours by now
            raise broken(manifest.uri, f"after line {number:,}: {error}") from error
        if not line:
            return
        number += 1
        if len(line) == LONGEST_LINE:
            raise broken(manifest.uri, f"line {number:,} is longer than {LONGEST_LINE:,} bytes")
        yield line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _texts(manifest: Container, file: BufferedIOBase) -> Iterator[str]:
    """The lines, with marks where they are no UTF-8, by which a name that holds them is refused."""
    for line in _lines(manifest, file):
        yield line.decode(errors="surrogateescape")


def _filled(manifest: Container, table: Any) -> Iterator[list[str]]:
    """The rows that are not empty."""
    while True:
        try:
            cells = next(table, None)
        except csv.Error as error:
            raise broken(manifest.uri, f"at line {table.line_num:,}: {error}") from error
        if cells is None:
            return
        if cells:
            yield cells
