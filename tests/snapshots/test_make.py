"""Snapshots equal the rule, row by row, whatever the past was."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.snapshot import Snapshot
from tests.snapshots.histories import Night, Rows, made_up, right_rows, write_run
from workers.snapshots import compact, read_history
from workers.snapshots import choice as choice_module
from workers.snapshots import make as make_module
from workers.snapshots.parts import files_of, read_files


def rows_of(output: str, snapshot: Snapshot | None) -> Rows:
    """The rows of a snapshot, each once, in the order of their ids."""
    assert snapshot
    tables = [file.read() for _, file in read_files(output, files_of(snapshot), None)]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    ids = [row["item_id"] for row in rows]
    assert ids == sorted(set(ids))
    return dict(zip(ids, rows, strict=True))


def widened(rows: Rows, like: Rows) -> Rows:
    """`rows` with the columns of `like`, and `said` of its type, as DuckDB spells it."""
    names = {name for row in like.values() for name in row}
    kinds = {type(row.get("said")) for row in like.values()} - {type(None)}
    (kind,) = kinds or {str}
    return {
        item: {name: row.get(name) for name in names}
        | ({"said": as_kind(row.get("said"), kind)} if "said" in names else {})
        for item, row in rows.items()
    }


def as_kind(value: Any, kind: type) -> Any:
    if value is None or isinstance(value, kind):
        return value
    return str(value).lower() if kind is str else kind(value)


@pytest.mark.parametrize("seed", range(12))
def test_a_snapshot_is_the_rule_row_by_row(
    folder: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any past, compacted after each run or at the end alone, in many ranges and parts."""
    monkeypatch.setattr(choice_module, "RANGE_BYTES", 2000)
    monkeypatch.setattr(make_module, "PART_ROWS", 3)
    nights = made_up(seed)
    output = f"{folder}/out"
    prompt = next(night.prompt for night in reversed(nights) if night.parts is None)
    told: list[Night] = []
    for ordinal, night in enumerate(nights, 1):
        run = write_run(folder, ordinal, night)
        if run.finished and ((seed + ordinal) % 2 or night.prompt == prompt):
            compact(read_history(output, run.spec.job.meaning_id())[0])
        if run.finished and night.prompt == prompt:
            told = nights[:ordinal]
    made = compact(read_history(output)[0])
    assert made.absorbed == 0
    found = rows_of(output, made.snapshot)
    wanted = right_rows(folder, told, finished_only=True, prompt=prompt)
    assert found == widened(wanted, found)
