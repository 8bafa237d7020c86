"""Snapshots equal the rule, row by row, whatever the past was."""

import pytest

from tests.snapshots.histories import made_up, right_rows, rows_of, widened, write_run, written
from workers.snapshots import choice as choice_module
from workers.snapshots import compact, read_history
from workers.snapshots import make as make_module


@pytest.mark.parametrize("seed", range(10))
def test_a_snapshot_is_the_rule_row_by_row(
    folder: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any past, compacted after each run or at the end alone, in many ranges and parts."""
    monkeypatch.setattr(choice_module, "RANGE_BYTES", 2000)
    monkeypatch.setattr(make_module, "PART_ROWS", 3)
    nights = made_up(seed)
    output = f"{folder}/out"
    prompt = next(night.prompt for night in reversed(nights) if night.parts is None)
    past = []
    told = 0
    for ordinal, night in enumerate(nights, 1):
        run = write_run(folder, ordinal, night)
        past.append((night, written(run)))
        if run.finished and ((seed + ordinal) % 2 or night.prompt == prompt):
            compact(read_history(output, run.spec.job.meaning_id())[0])
        if run.finished and night.prompt == prompt:
            told = ordinal
    made = compact(read_history(output)[0])
    assert made.absorbed == 0
    found = rows_of(output, made.snapshot)
    wanted = right_rows(folder, past[:told], finished_only=True, prompt=prompt)
    assert found == widened(wanted, found)
