"""The existence of a part is the commit."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import s3fs

from schemas.image import Shard
from schemas.outcome import ErrorCode, ForeignPartError, UsageError
from schemas.passed import passed_values
from schemas.rows import SCHEMA_VERSION_KEY, PassedColumn, row_schema
from schemas.run import PartRecord, RunNames
from tests.clock import patience
from tests.runs import SCHEMAS, put, refs, row, rows
from workers.sink import commit_part, committed, read_part
from workers.store import fetch

RUN = "00000001"
PLAN = "p" * 64


def shard(index: int = 0, count: int = 3) -> Shard:
    return Shard(index, tuple(refs(count, f"/in/{index}")))


def write(output: str, part: Shard, attempt: str = "a") -> PartRecord:
    return commit_part(output, RUN, PLAN, part, rows(part), row_schema(SCHEMAS), attempt)


def test_a_part_holds_a_row_for_each_item(store: str) -> None:
    """The rows are in the file, in order, and the record tells its bytes and its counts."""
    record = write(store, shard())
    data = fetch(f"{store}/labels/run={RUN}/part-00000.parquet")
    table = pq.read_table(BytesIO(data))
    assert table.column("item_id").to_pylist() == [image.item_id for image in shard().images]
    assert record.sha256 == hashlib.sha256(data).hexdigest()
    assert (record.footer.labelled, record.footer.failed) == (3, 0)
    assert committed(store, RUN) == {0}
    assert read_part(store, RUN, PLAN, 0) == record


def test_nothing_but_failures_has_the_same_schema(tmp_path: Path) -> None:
    """A shard of failures alone is a file with the very schema of a good one."""
    part = shard()
    codes = [ErrorCode.TRUNCATED, ErrorCode.NOT_AN_IMAGE, ErrorCode.TRUNCATED]
    failures = [row(image, code=code) for image, code in zip(part.images, codes, strict=True)]
    record = commit_part(str(tmp_path), RUN, PLAN, part, failures, row_schema(SCHEMAS), "a")
    assert record.footer.failed_by_code == {"truncated": 2, "not_an_image": 1}
    schema = pq.read_schema(tmp_path / record.name)
    assert schema.equals(row_schema(SCHEMAS))
    assert schema.metadata[SCHEMA_VERSION_KEY] == b"1"


def test_columns_of_input_are_in_every_part(tmp_path: Path) -> None:
    """What the plan passes on is in each row under the name that rows give it, and a shard of
    failures alone has the very schema of a good one.
    """
    passed = (PassedColumn("text", "string"), PassedColumn("width", "int64"))
    records = []
    for index, code in enumerate((None, ErrorCode.NOT_FOUND)):
        part = shard(index)
        said = ('{"text":"é","width":7}', "", '{"width":null}')
        given = [
            row(image, code=code) | passed_values(text, passed, SCHEMAS)
            for image, text in zip(part.images, said, strict=True)
        ]
        records.append(
            commit_part(str(tmp_path), RUN, PLAN, part, given, row_schema(SCHEMAS, passed), "a")
        )
    tables = [pq.read_table(tmp_path / record.name, partitioning=None) for record in records]
    assert tables[0].schema.remove_metadata() == row_schema(SCHEMAS, passed).remove_metadata()
    assert tables[0].schema.equals(tables[1].schema)
    for table in tables:
        assert table["text"].to_pylist() == ["é", None, None]
        assert table["input_width"].to_pylist() == [7, None, None]


def test_other_readers_see_the_same_table(tmp_path: Path) -> None:
    """pyarrow, DuckDB and pandas read the folder as one table with a `run` column."""
    for index in range(3):
        write(str(tmp_path), shard(index))
    folder = tmp_path / "labels"
    arrow = ds.dataset(folder, partitioning="hive").to_table()
    files = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    duck = duckdb.sql(f"select run, count(*) from {files} group by run").fetchall()
    frame = pd.read_parquet(folder)
    assert arrow.num_rows == len(frame) == 9
    assert [count for _, count in duck] == [9]
    assert "run" in arrow.column_names
    assert "run" in frame.columns
    assert arrow["labelled_at"][0].as_py() == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_twins_part_counts_as_the_commit(store: str) -> None:
    """A second attempt at a shard keeps the first one's part and is told so."""
    first = write(store, shard(), "first")
    second = write(store, shard(), "second")
    assert second == first
    assert second.footer.attempt == "first"
    assert committed(store, RUN) == {0}


FOREIGN: list[Callable[[str], None]] = [
    lambda output: put(output, RunNames(1).part(0), b"not Parquet at all"),
    lambda output: put(output, RunNames(1).part(0), b""),
    lambda output: write_foreign(output, plan="q" * 64),
    lambda output: write_foreign(output, index=1),
]


def write_foreign(output: str, plan: str = PLAN, index: int = 0) -> None:
    """A part of another plan, or of another shard, under this shard's name."""
    part = shard(index)
    scratch = f"{output}/elsewhere"
    record = commit_part(scratch, RUN, plan, part, rows(part), row_schema(SCHEMAS), "a")
    put(output, RunNames(1).part(0), fetch(f"{scratch}/{record.name}"))


@pytest.mark.parametrize("foreign", FOREIGN, ids=["text", "empty", "plan", "shard"])
def test_a_foreign_part_stops_the_job(store: str, foreign: Callable[[str], None]) -> None:
    """A name taken by anything but this shard of this plan is an error, and is left alone."""
    foreign(store)
    before = fetch(f"{store}/{RunNames(1).part(0)}")
    with pytest.raises(ForeignPartError, match="part-00000"):
        write(store, shard())
    with pytest.raises(ForeignPartError, match="part-00000"):
        read_part(store, RUN, PLAN, 0)
    assert fetch(f"{store}/{RunNames(1).part(0)}") == before


DAMAGES: list[Callable[[list[dict[str, Any]]], Any]] = [
    lambda given: given.pop(),
    lambda given: given.append(given[0]),
    lambda given: given.reverse(),
    lambda given: given[0].pop("caption"),
    lambda given: given[0].update(extra=1),
    lambda given: given[0].update(meaning_id=None),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=["less", "more", "order", "lacks", "extra", "null"])
def test_rows_that_are_not_the_shards_are_never_written(
    tmp_path: Path, damage: Callable[[list[dict[str, Any]]], Any]
) -> None:
    """One row an item, in the plan's order, with just the schema's columns: or nothing."""
    given = rows(shard())
    damage(given)
    with pytest.raises(AssertionError):
        commit_part(str(tmp_path), RUN, PLAN, shard(), given, row_schema(SCHEMAS), "a")
    assert committed(str(tmp_path), RUN) == set()


def test_a_listing_of_parts_is_patient(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passing failure of the store does not end the run; refused credentials do, as usage."""
    write(bucket, shard())
    real, failures = s3fs.S3FileSystem._call_s3, [ConnectionResetError(), TimeoutError()]

    async def flaky(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await real(*arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", flaky)
    assert committed(bucket, RUN, patience()) == {0}
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UsageError, match="credentials are refused"):
        committed(bucket, RUN, patience())


def test_only_parts_are_counted(store: str) -> None:
    """Names beside a part's own, in folders below too, and other runs' parts, commit nothing."""
    write(store, shard(7))
    put(store, f"labels/run={RUN}/_SUCCESS", b"")
    put(store, f"labels/run={RUN}/part-00008.parquet.tmp", b"")
    put(store, f"labels/run={RUN}/part-000009.parquet", b"")
    put(store, f"labels/run={RUN}/copy/part-00010.parquet", b"")
    put(store, "labels/run=00000002/part-00009.parquet", b"")
    assert committed(store, RUN) == {7}
    assert committed(store, "00000003") == set()
