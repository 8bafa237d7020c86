"""Whole and half runs, made without any replica, and ways to break them."""

import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.image import Shard
from schemas.outcome import ErrorCode
from schemas.passed import passed_values
from schemas.rows import row_schema
from schemas.run import Plan
from tests.runs import SCHEMAS, job_spec, png, put, row
from workers.plan import Run, finish, freeze, load_shards, open_run
from workers.sink import commit_part
from workers.store import fetch, remove

IMAGES = 7


def planned(store: str, new_run: bool = False, **changes: Any) -> tuple[Run, Plan]:
    """A run over 7 images and a file that is none, in shards of 2, 2, 2 and 1."""
    names = [f"{number}.png" for number in range(IMAGES)]
    for name in (*names, "notes.txt"):
        put(store, f"in/{name}", png())
    run = open_run(job_spec(f"{store}/in", f"{store}/out", **changes), new_run)
    return run, freeze(run, 2, lambda: ("cpu", 8))


def label(
    run: Run, plan: Plan, skip: Collection[int] = (), failing: Collection[int] = (1,)
) -> None:
    """Commit the parts of all shards but `skip`; the images of the `failing` ones are truncated."""
    for shard in load_shards(run, plan, skip):
        code = ErrorCode.TRUNCATED if shard.index in failing else None
        commit(run, plan, shard, code)


def commit(run: Run, plan: Plan, shard: Shard, code: ErrorCode | None) -> None:
    """Commit the shard's part, all of it labelled, or failed with `code`."""
    run_id = run.spec.run_id
    labels = [
        row(image, run_id, code) | passed_values(image.columns, plan.columns, SCHEMAS)
        for image in shard.images
    ]
    schema = row_schema(SCHEMAS, plan.columns)
    commit_part(run.output, run_id, plan.digest, shard, labels, schema, "a")


def finished(store: str, failing: Collection[int] = (1,), **changes: Any) -> tuple[Run, Plan]:
    """A whole run of 4 parts; the 2 images of shard 1 failed."""
    run, plan = planned(store, **changes)
    label(run, plan, failing=failing)
    finish(run, plan, {})
    return run, plan


def change_bytes(run: Run, name: str, change: Callable[[bytes], bytes]) -> None:
    """Write a file of OUTPUT over."""
    put(run.output, name, change(fetch(f"{run.output}/{name}")))


def change_rows(run: Run, shard: int, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a part over with other rows and the footer that it has."""
    change_table(run, run.names.part(shard), change)


def change_table(run: Run, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a Parquet file of OUTPUT over, its metadata as it was."""

    def rewrite(data: bytes) -> bytes:
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        buffer = pa.BufferOutputStream()
        pq.write_table(change(table), buffer)
        return bytes(buffer.getvalue())

    change_bytes(run, name, rewrite)


def with_value(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    """`table`, one of its values another one."""
    values = table[column].to_pylist()
    values[row] = value
    place = table.schema.get_field_index(column)
    field = table.schema.field(column)
    return table.set_column(place, field, pa.array(values, field.type))


def swap(run: Run, one: int, other: int) -> None:
    """Give two parts each other's name."""
    names = run.names.part(one), run.names.part(other)
    contents = [fetch(f"{run.output}/{name}") for name in names]
    for name, content in zip(names, reversed(contents), strict=True):
        put(run.output, name, content)


def delete(run: Run, name: str) -> None:
    """Take a file of OUTPUT away."""
    remove(f"{run.output}/{name}")


def copy_of(run: Run, place: Path) -> Run:
    """The run's OUTPUT copied, to be broken there; INPUT stays where it is."""
    output = str(place / "copy")
    shutil.copytree(run.output, output)
    return replace(run, spec=replace(run.spec, job=replace(run.spec.job, output=output)))
