"""The columns of a part."""

import pyarrow as pa
import pytest

from schemas.outcome import UsageError
from schemas.rows import (
    PASSED_TYPES,
    SCHEMA_VERSION,
    SCHEMA_VERSION_KEY,
    TASK_KEY,
    PassedColumn,
    TaskSchema,
    passed_name,
    row_schema,
)

CAPTION = (
    TaskSchema(
        "caption", (pa.field("caption", pa.string()), pa.field("prompt", pa.string(), False))
    ),
)
OTHER = TaskSchema("other", (pa.field("other", pa.list_(pa.string())),), version=3)
CAPTION_COLUMNS = (
    "item_id uri input_digest meaning_id code_version size_bytes width height content_sha256 status"
    " error_code error_message caption prompt model_id model_digest quantization run_id labelled_at"
)


def test_the_columns_of_a_caption() -> None:
    """Names, order and the type of the time are what readers were promised."""
    schema = row_schema(CAPTION)
    assert schema.names == CAPTION_COLUMNS.split()
    assert schema.field("labelled_at").type == pa.timestamp("us", tz="UTC")


def test_what_a_failed_row_lacks_may_be_null() -> None:
    """Just the columns that a failure cannot know, or a success need not say, are nullable."""
    nullable = {column.name for column in row_schema(CAPTION) if column.nullable}
    unknown = {"size_bytes", "width", "height", "content_sha256", "caption"}
    assert nullable == unknown | {"error_code", "error_message"}


def test_tasks_are_composed_into_one_wide_row() -> None:
    """A row has the common columns, those of each task in turn between them, and its footer says
    which tasks and versions.
    """
    caption, wide = row_schema(CAPTION), row_schema((*CAPTION, OTHER))
    assert [name for name in wide.names if name != "other"] == caption.names
    assert wide.names.index("other") == wide.names.index("prompt") + 1
    assert caption.metadata[TASK_KEY] == b"caption"
    assert wide.metadata[TASK_KEY] == b"caption,other@3"


def test_the_version_stands_in_the_metadata() -> None:
    """A reader learns the schema's version from the file."""
    assert row_schema(CAPTION).metadata[SCHEMA_VERSION_KEY] == str(SCHEMA_VERSION).encode()


@pytest.mark.parametrize("name", ["caption", "uri", "run", "Caption", "URI", "Run"])
def test_no_two_tasks_fill_one_column(name: str) -> None:
    """A column that is there already, or that readers make of the folder, is refused by name;
    capitals do not count, for they do not in DuckDB.
    """
    again = TaskSchema("again", (pa.field(name, pa.string()),))
    with pytest.raises(UsageError, match=name.lower()):
        row_schema((*CAPTION, again))


def test_no_task_fills_a_column_of_input() -> None:
    """Nor the column that one of INPUT's is called as its own name is taken: it is refused."""
    asked = TaskSchema("ask:input_uri", (pa.field("input_uri", pa.string()),))
    assert "input_uri" in row_schema((asked,), [PassedColumn("url", "string")]).names
    with pytest.raises(UsageError, match="input_uri"):
        row_schema((asked,), [PassedColumn("uri", "string")])


def test_columns_of_input_come_last_and_may_be_null() -> None:
    """They follow the columns that every run has, in the plan's order and of the plan's types."""
    passed = [PassedColumn(f"a {kind}", kind) for kind in PASSED_TYPES]
    schema = row_schema(CAPTION, passed)
    own = row_schema(CAPTION)
    assert schema.names == [*own.names, "a string", "a int64", "a double", "a bool"]
    added = list(schema)[len(own) :]
    assert [column.type for column in added] == list(PASSED_TYPES.values())
    assert all(column.nullable for column in added)
    assert schema.metadata == own.metadata


@pytest.mark.parametrize("name", [*CAPTION_COLUMNS.split(), "run"])
def test_no_column_of_input_takes_the_place_of_ours(name: str) -> None:
    """A name of ours, or of the folder that parts lie in, is prefixed; others are left alone."""
    assert passed_name(name, CAPTION) == f"input_{name}"
    assert passed_name(f"my_{name}", CAPTION) == f"my_{name}"


def test_two_columns_of_one_name_are_refused() -> None:
    """Where the prefix leads to a name that INPUT has too, somebody has to decide."""
    passed = [PassedColumn("uri", "string"), PassedColumn("input_uri", "string")]
    with pytest.raises(UsageError, match="input_uri"):
        row_schema(CAPTION, passed)
