"""The columns of rows from several runs, united by their names."""

from collections.abc import Iterable

import pyarrow as pa

from schemas.outcome import UsageError
from schemas.rows import PASSED_TYPES, SCHEMA_VERSION_KEY, TASK_KEY
from schemas.snapshot import ADDED_COLUMNS, DELETED, NEWEST_RUN

_OWN = frozenset({DELETED, NEWEST_RUN})
_WIDER = [PASSED_TYPES[name] for name in ("bool", "int64", "double", "string")]
"""Each type holds what those before it do, as DuckDB casts them too."""


def kept_name(name: str) -> str:
    """What a snapshot calls a column of a part: as it is called, or `input_…` where a column of
    INPUT has the name of one of a snapshot's own.
    """
    return f"input_{name}" if name.lower() in _OWN else name


def is_snapshot(schema: pa.Schema) -> bool:
    """Whether it has a snapshot's own columns; a part's may be called so, and may be null."""
    return all(field in schema for field in ADDED_COLUMNS)


def kept_rows(rows: pa.Table) -> pa.Table:
    """Rows of a part or a snapshot without a snapshot's own columns, under the names it gives."""
    own = _OWN if is_snapshot(rows.schema) else ()
    kept = rows.select([name for name in rows.column_names if name not in own])
    return kept.rename_columns([kept_name(name) for name in kept.column_names])


def united(schemas: Iterable[tuple[str, pa.Schema]]) -> pa.Schema:
    """All columns of the schemas, each with the place that has it, in the order in which they come.

    A column that has several types is of the widest: int64 of bool, double of int64, else string.
    What some rows do not have may be null. The metadata are the last one's. Raises UsageError where
    two types have none in common.
    """
    fields: dict[str, pa.Field] = {}
    metadata: dict[bytes, bytes] = {}
    for number, (place, schema) in enumerate(schemas):
        there = kept_rows(schema.empty_table()).schema
        for field in there:
            known = fields.get(field.name, field.with_nullable(field.nullable or number > 0))
            kind = _wider(place, known, field)
            fields[field.name] = pa.field(field.name, kind, known.nullable or field.nullable)
        for name in fields.keys() - set(there.names):
            fields[name] = fields[name].with_nullable(True)
        metadata = {key: schema.metadata[key] for key in (SCHEMA_VERSION_KEY, TASK_KEY)}
    return pa.schema(list(fields.values()), metadata)


def _wider(place: str, known: pa.Field, field: pa.Field) -> pa.DataType:
    if known.type == field.type:
        return known.type
    if known.type not in _WIDER or field.type not in _WIDER:
        raise UsageError(
            f"column {field.name} is {field.type} in {place} and {known.type} in earlier rows: "
            "they cannot be in one table"
        )
    return max(known.type, field.type, key=_WIDER.index)
