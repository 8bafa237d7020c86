"""The columns of a part."""

import pyarrow as pa
import pytest

from schemas.outcome import UsageError
from schemas.rows import (
    PASSED_TYPES,
    SCHEMA_VERSION,
    SCHEMA_VERSION_KEY,
    TASK_COLUMNS,
    PassedColumn,
    passed_name,
    row_schema,
)

CAPTION_COLUMNS = (
    "item_id uri input_digest meaning_id code_version size_bytes width height content_sha256 status"
    " error_code error_message caption prompt model_id model_digest quantization run_id labelled_at"
)


def test_the_columns_of_a_caption() -> None:
    """Names, order and the type of the time are what readers were promised."""
    schema = row_schema("caption")
    assert schema.names == CAPTION_COLUMNS.split()
    assert schema.field("labelled_at").type == pa.timestamp("us", tz="UTC")


def test_what_a_failed_row_lacks_may_be_null() -> None:
    """Just the columns that a failure cannot know, or a success need not say, are nullable."""
    nullable = {column.name for column in row_schema("caption") if column.nullable}
    unknown = {"size_bytes", "width", "height", "content_sha256", "caption"}
    assert nullable == unknown | {"error_code", "error_message"}


def test_a_task_adds_columns_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another task's schema is the common columns with its own between them."""
    monkeypatch.setitem(TASK_COLUMNS, "tags", (pa.field("tags", pa.list_(pa.string())),))
    common = [name for name in row_schema("caption").names if name not in ("caption", "prompt")]
    assert [name for name in row_schema("tags").names if name != "tags"] == common


def test_the_version_stands_in_the_metadata() -> None:
    """A reader learns the schema's version from the file."""
    assert row_schema("caption").metadata[SCHEMA_VERSION_KEY] == str(SCHEMA_VERSION).encode()


def test_an_unknown_task_is_refused() -> None:
    """There is no schema for a task that has no columns."""
    with pytest.raises(UsageError, match="caption"):
        row_schema("poetry")


def test_columns_of_input_come_last_and_may_be_null() -> None:
    """They follow the columns that every run has, in the plan's order and of the plan's types."""
    passed = [PassedColumn(f"a {kind}", kind) for kind in PASSED_TYPES]
    schema = row_schema("caption", passed)
    own = row_schema("caption")
    assert schema.names == [*own.names, "a string", "a int64", "a double", "a bool"]
    added = list(schema)[len(own) :]
    assert [column.type for column in added] == list(PASSED_TYPES.values())
    assert all(column.nullable for column in added)
    assert schema.metadata == own.metadata


@pytest.mark.parametrize("name", [*CAPTION_COLUMNS.split(), "run"])
def test_no_column_of_input_takes_the_place_of_ours(name: str) -> None:
    """A name of ours, or of the folder that parts lie in, is prefixed; others are left alone."""
    assert passed_name(name) == f"input_{name}"
    assert passed_name(f"my_{name}") == f"my_{name}"


def test_two_columns_of_one_name_are_refused() -> None:
    """Where the prefix leads to a name that INPUT has too, somebody has to decide."""
    passed = [PassedColumn("uri", "string"), PassedColumn("input_uri", "string")]
    with pytest.raises(UsageError, match="input_uri"):
        row_schema("caption", passed)
