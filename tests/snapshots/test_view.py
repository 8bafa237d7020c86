"""The view equals the rule over all parts, and the snapshot where nothing came since."""

from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pytest

from schemas.outcome import ErrorCode, UsageError
from schemas.rows import PassedColumn
from tests.snapshots.histories import (
    Night,
    Rows,
    Told,
    made_up,
    right_rows,
    rows_of,
    widened,
    write_run,
    written,
)
from workers.snapshots import compact, prune, read_history
from workers.snapshots.view import view_of


def seen(sql: str, filesystem: Any = None) -> Rows:
    """The rows of the view, each item once."""
    with duckdb.connect() as database:
        if filesystem is not None:
            database.register_filesystem(filesystem)
        database.execute("SET TimeZone = 'UTC'")
        database.execute(sql)
        rows = database.sql("FROM latest").to_arrow_table().to_pylist()
    items = {row["item_id"]: row for row in rows}
    assert len(items) == len(rows)
    return items


@pytest.mark.parametrize("seed", range(10))
def test_the_view_is_the_rule_over_all_parts(folder: str, seed: int) -> None:
    """Of any past, runs that are half done too, with and without a snapshot, pruned or not; a view
    made before the last run sees it too.
    """
    nights = made_up(seed)
    output, prompt = f"{folder}/out", nights[-1].prompt
    past = []
    for ordinal, night in enumerate(nights, 1):
        run = write_run(folder, ordinal, night)
        past.append((night, written(run)))
        meaning = run.spec.job.meaning_id()
        if run.finished and (seed + ordinal) % 3 == 0:
            compact(read_history(output, meaning)[0])
            if seed % 2:
                prune(read_history(output, meaning)[0])
    wanted = right_rows(folder, past, finished_only=False, prompt=prompt)
    if not wanted:
        with pytest.raises(UsageError, match="no row"):
            view_of(read_history(output, meaning)[0])
        return
    found = seen(view_of(read_history(output, meaning)[0]))
    assert found == widened(wanted, found)
    made = compact(read_history(output, meaning)[0])
    if all(night.parts is None for night in nights if night.prompt == prompt):
        assert seen(view_of(read_history(output, meaning)[0])) == rows_of(output, made.snapshot)


def test_what_two_inputs_saw_is_gone_from_the_one_that_saw_it_last(folder: str) -> None:
    """Its label may be of the other: in the snapshot, and in the view before and after."""
    write_run(folder, 1, Night({"more/a.png": Told("v1")}))
    failed = Told("v1", ErrorCode.READ_FAILED)
    write_run(folder, 2, Night({"a.png": failed}, input="in/more"))
    write_run(folder, 3, Night({}, input="in/more", gone=["a.png"]))
    output = f"{folder}/out"
    before = seen(view_of(read_history(output)[0]))
    rows = rows_of(output, compact(read_history(output)[0]).snapshot)
    ((label, deleted),) = {(row["run_id"], row["deleted"]) for row in rows.values()}
    assert (label, deleted) == ("00000001", True)
    assert before == rows == seen(view_of(read_history(output)[0]))


FIRST = Night({name: Told("v1") for name in ("a.png", "b's.png", "c.png")})
SECOND = Night({"a.png": Told("v2"), "d.png": Told("v1", ErrorCode.TRUNCATED)}, gone=["c.png"])


def test_in_a_bucket_the_view_is_the_snapshot_and_what_came_since(bucket: str) -> None:
    """DuckDB reads it through fsspec. It equals the snapshot; a run that begins after the view was
    made is in it as far as it is; one that is pruned since is an error, not a hole.
    """
    output, filesystem = f"{bucket}/out", fsspec.filesystem("s3", use_listings_cache=False)
    write_run(bucket, 1, FIRST)
    early = view_of(read_history(output)[0])
    write_run(bucket, 2, SECOND)
    made = compact(read_history(output)[0])
    sql = view_of(read_history(output)[0])
    rows = rows_of(output, made.snapshot)
    assert seen(sql, filesystem) == rows
    assert {item[-5] for item, row in rows.items() if row["deleted"]} == {"c"}
    write_run(bucket, 3, Night({name: Told("v3") for name in ("a.png", "c.png", "e.png")}, parts=1))
    found = seen(sql, filesystem)
    assert {item[-5]: row["input_digest"] for item, row in found.items()} == {
        **dict.fromkeys("ac", "v3"),
        **dict.fromkeys("sd", "v1"),
    }
    assert not any(row["deleted"] for row in found.values())
    assert {item[-5] for item in seen(early, filesystem)} == set("sacd")
    prune(read_history(output)[0])
    with pytest.raises(duckdb.Error, match="print the view anew"):
        seen(early, filesystem)
    assert seen(sql, filesystem) == found


def test_names_are_taken_as_they_are(tmp_path: Path) -> None:
    """An OUTPUT whose name is a pattern, and columns of INPUT that are called as a snapshot's own,
    or as SQL's words.
    """
    place = str(tmp_path / "it's [1] *")
    columns = tuple(PassedColumn(name, "string") for name in ("deleted", "select", 'a"b', "newest"))
    passed = {column.name: column.name.upper() for column in columns}
    write_run(place, 1, Night({"a.png": Told("v1", passed=passed)}, columns=columns))
    output = f"{place}/out"
    before = seen(view_of(read_history(output)[0]))
    made = compact(read_history(output)[0])
    rows = rows_of(output, made.snapshot)
    (row,) = rows.values()
    assert (row["deleted"], row["input_deleted"], row["select"]) == (False, "DELETED", "SELECT")
    assert before == rows == seen(view_of(read_history(output)[0]))
    write_run(place, 2, Night({"b.png": Told("v1", passed=passed)}, columns=columns))
    both = seen(view_of(read_history(output)[0]))
    assert {one["input_deleted"] for one in both.values()} == {"DELETED"}
