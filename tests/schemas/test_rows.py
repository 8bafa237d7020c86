"""The columns of a part."""

import pyarrow as pa
import pytest

from schemas.outcome import UsageError
from schemas.rows import SCHEMA_VERSION, SCHEMA_VERSION_KEY, TASK_COLUMNS, row_schema

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
