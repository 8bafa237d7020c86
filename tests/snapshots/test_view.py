"""The view equals the rule over all parts, and the snapshot where nothing came since."""

from typing import Any

import duckdb
import pytest

from schemas.outcome import UsageError
from tests.snapshots.histories import (
    Rows,
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


@pytest.mark.parametrize("seed", range(12))
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
