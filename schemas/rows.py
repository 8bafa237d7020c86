"""The columns of a part, versioned.

A row is the item, how it ended, the task's columns, and who labelled it. A task adds columns by an
entry in TASK_COLUMNS. A shard of nothing but failures has the same schema as a good one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from schemas.outcome import UsageError

SCHEMA_VERSION = 1
SCHEMA_VERSION_KEY = b"bucketsight.schema_version"
TASK_KEY = b"bucketsight.task"


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


ITEM_COLUMNS: tuple[pa.Field, ...] = (
    _required("item_id", pa.string()),
    _required("uri", pa.string()),
    _required("input_digest", pa.string()),
    _required("meaning_id", pa.string()),
    _required("code_version", pa.string()),
    pa.field("size_bytes", pa.int64()),
    # of the image as decoded, upright; null where it was not decoded
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    # hex SHA-256 of the object's bytes; null where it was not read
    pa.field("content_sha256", pa.string()),
)

OUTCOME_COLUMNS: tuple[pa.Field, ...] = (
    _required("status", pa.string()),
    # both null where status is `labelled`, both set where it is `failed`
    pa.field("error_code", pa.string()),
    pa.field("error_message", pa.string()),
)

TASK_COLUMNS: dict[str, tuple[pa.Field, ...]] = {
    "caption": (
        # null where status is `failed`
        pa.field("caption", pa.string()),
        _required("prompt", pa.string()),
    ),
}

ORIGIN_COLUMNS: tuple[pa.Field, ...] = (
    _required("model_id", pa.string()),
    _required("model_digest", pa.string()),
    _required("quantization", pa.string()),
    _required("run_id", pa.string()),
    _required("labelled_at", pa.timestamp("us", tz="UTC")),
)


PASSED_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
}
"""Of the columns that INPUT brings along."""


@dataclass(frozen=True, slots=True)
class PassedColumn:
    """A column of INPUT on its way into the rows."""

    name: str
    """As INPUT has it; `passed_name` is what a row calls it."""
    type: str
    """A key of PASSED_TYPES."""


def passed_name(name: str) -> str:
    """What rows call a column of INPUT: its own name, or `input_…` where that is one of ours."""
    return f"input_{name}" if name in _own_names() else name


def _own_names() -> set[str]:
    own = (*ITEM_COLUMNS, *OUTCOME_COLUMNS, *ORIGIN_COLUMNS, *chain(*TASK_COLUMNS.values()))
    # Readers make a column of the part's folder, `run=…`.
    return {"run", *(column.name for column in own)}


def row_schema(task: str, passed: Sequence[PassedColumn] = ()) -> pa.Schema:
    """The Arrow schema of `task`'s rows, its version in the metadata.

    The columns `passed` on from INPUT come last. Raises UsageError for a task
    that has no columns, and where two of INPUT's columns would have one name.
    """
    if task not in TASK_COLUMNS:
        raise UsageError(f"task {task!r}: one of {', '.join(sorted(TASK_COLUMNS))}")
    names = [passed_name(column.name) for column in passed]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"INPUT has two columns that rows would call {twice[0]}: rename one")
    return pa.schema(
        [
            *(*ITEM_COLUMNS, *OUTCOME_COLUMNS, *TASK_COLUMNS[task], *ORIGIN_COLUMNS),
            *(pa.field(passed_name(one.name), PASSED_TYPES[one.type]) for one in passed),
        ],
        metadata={SCHEMA_VERSION_KEY: str(SCHEMA_VERSION).encode(), TASK_KEY: task.encode()},
    )
