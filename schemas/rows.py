"""The columns of a part, versioned.

A row is the item, how it ended, the columns of each task, and who labelled it. What columns a task
has stands in its file under workers/tasks/. A shard of nothing but failures has the same schema as
a good one.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class TaskSchema:
    """The columns that a task adds to a row."""

    name: str
    columns: tuple[pa.Field, ...]
    """Of a labelled row none is null, of a failed one those that may be null are."""
    version: int = 1
    """Raised whenever `columns` change."""

    @property
    def mark(self) -> str:
        """How a part's footer names it."""
        return self.name if self.version == 1 else f"{self.name}@{self.version}"


def passed_name(name: str, tasks: Sequence[TaskSchema]) -> str:
    """What rows call a column of INPUT: its own name, or `input_…` where that is one of ours."""
    return f"input_{name}" if name in _own_names(tuple(tasks)) else name


@functools.lru_cache(maxsize=16)
def _own_names(tasks: tuple[TaskSchema, ...]) -> frozenset[str]:
    own = (*ITEM_COLUMNS, *OUTCOME_COLUMNS, *ORIGIN_COLUMNS, *_columns_of(tasks))
    # Readers make a column of the part's folder, `run=…`.
    return frozenset({"run", *(column.name for column in own)})


def _columns_of(tasks: Sequence[TaskSchema]) -> list[pa.Field]:
    return [column for task in tasks for column in task.columns]


def row_schema(tasks: Sequence[TaskSchema], passed: Sequence[PassedColumn] = ()) -> pa.Schema:
    """The Arrow schema of the rows of `tasks`, its versions in the metadata.

    A row is the item, how it ended, the columns of each task in turn, and who labelled it; the
    columns `passed` on from INPUT come last. Raises UsageError where two columns would have one
    name.
    """
    own = [*ITEM_COLUMNS, *OUTCOME_COLUMNS, *_columns_of(tasks), *ORIGIN_COLUMNS]
    names = [passed_name(column.name, tasks) for column in passed]
    if twice := _twice(names):
        raise UsageError(f"INPUT has two columns that rows would call {twice}: rename one")
    ours = ["run", *(column.name for column in own)]
    # DuckDB tells no capitals apart: of caption and Caption it would read the same one twice.
    if twice := _twice([name.lower() for name in ours]) or _twice([*ours, *names]):
        raise UsageError(
            f"two columns of a row would be called {twice}: call one of them otherwise"
        )
    kinds = [PASSED_TYPES[column.type] for column in passed]
    return pa.schema(
        [*own, *map(pa.field, names, kinds)],
        metadata={
            SCHEMA_VERSION_KEY: str(SCHEMA_VERSION).encode(),
            TASK_KEY: ",".join(task.mark for task in tasks).encode(),
        },
    )


def _twice(names: Sequence[str]) -> str | None:
    return min((name for name in names if names.count(name) > 1), default=None)
