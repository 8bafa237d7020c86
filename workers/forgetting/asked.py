"""What somebody asks to be forgotten, and whether a row, or a file, is of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.forgotten import names_of, names_of_listed
from schemas.uri import canonical, is_local
from workers.source.selection import is_utf8

AFTER = "$"
"""The sign after `#`: what begins with `CONTAINER#` lies before `CONTAINER$`."""


def spellings(uri: str) -> frozenset[str]:
    """How rows may call what `uri` names; none for what no row can name.

    It is taken as it stands, and as listings spell places; in `CONTAINER#MEMBER` the container
    alone, for a member may be called anything.
    """
    if not is_utf8(uri):
        return frozenset()
    found = {uri, canonical(uri)}
    if is_local(uri):
        ends = [place for place, sign in enumerate(uri) if sign == "#"]
        found |= {canonical(uri[:end]) + uri[end:] for end in ends if end}
    return frozenset(found)


@dataclass(slots=True)
class Asked:
    """Names to be forgotten."""

    names: frozenset[str]
    rows: set[str] = field(default_factory=set)
    """Ids of items that were found by where their image lies: a list beside a plan knows no more
    than an id.
    """

    def of(self, table: pa.Table) -> Iterator[tuple[int, frozenset[str]]]:
        """The rows of `table` that are to go, rising, and by which names each was asked for."""
        ids = table["item_id"].to_pylist()
        if "uri" not in table.column_names:
            for row, item_id in enumerate(ids):
                hits = self.names.intersection(names_of_listed(item_id))
                if hits or item_id in self.rows:
                    yield row, hits
            return
        uris = table["uri"].to_pylist()
        for row, (item_id, uri) in enumerate(zip(ids, uris, strict=True)):
            uri = item_id if uri is None else uri  # pages of a plan leave it out
            if hits := self.names.intersection(names_of(item_id, uri)):
                if hits == {uri} != {item_id}:
                    self.rows.add(item_id)
                yield row, hits

    def may_be_in(self, metadata: pq.FileMetaData) -> bool:
        """Whether a Parquet file may hold rows that are to go, as far as its statistics tell."""
        columns = _columns(metadata)
        if "item_id" not in columns:
            return False
        listed = self.rows if "uri" not in columns else ()
        return any(
            _may_hold(metadata.row_group(group), columns, [*self.names, *listed])
            for group in range(metadata.num_row_groups)
        )


def _columns(metadata: pq.FileMetaData) -> Mapping[str, int]:
    schema = metadata.schema
    return {schema.column(index).path: index for index in range(len(schema))}


def _may_hold(group: pq.RowGroupMetaData, columns: Mapping[str, int], names: Sequence[str]) -> bool:
    ids = _range(group, columns["item_id"])
    if ids is None:
        return True
    if any(ids[0] <= name <= ids[1] for name in names):
        return True
    if any(f"{name}#" <= ids[1] and ids[0] < name + AFTER for name in names):
        return True
    if "uri" not in columns:
        return False
    if _all_null(group, columns["uri"]):
        return False
    uris = _range(group, columns["uri"])
    return uris is None or any(uris[0] <= name <= uris[1] for name in names)


def _range(group: pq.RowGroupMetaData, column: int) -> tuple[str, str] | None:
    """Between which two texts its values lie; None where that is not told."""
    told = group.column(column).statistics
    if told is None or not told.has_min_max:
        return None
    return told.min, told.max


def _all_null(group: pq.RowGroupMetaData, column: int) -> bool:
    told = group.column(column).statistics
    return told is not None and told.has_null_count and told.null_count == group.num_rows
