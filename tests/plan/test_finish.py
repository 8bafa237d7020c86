"""The last word of a run."""

import hashlib
from typing import Any

import pytest

from schemas.outcome import ErrorCode, ForeignPartError, RunFolderError
from schemas.run import PartRecord, Plan
from tests.runs import job_spec, png, put, row, rows
from workers.plan import Run, finish, freeze, load_shards, open_run, read_result
from workers.sink import commit_part
from workers.store import fetch


def planned(store: str) -> tuple[Run, Plan]:
    """A run of 5 images in 3 shards."""
    for number in range(5):
        put(store, f"in/{number}.png", png())
    run = open_run(job_spec(f"{store}/in", f"{store}/out"))
    return run, freeze(run, 2, "cpu", 8)


def commit_all(run: Run, plan: Plan, skip: Any = ()) -> dict[int, PartRecord]:
    """Label everything; the first item of each shard fails."""
    records = {}
    for shard in load_shards(run, plan, skip):
        labels = rows(shard, run.spec.run_id)
        labels[0] = row(shard.images[0], run.spec.run_id, ErrorCode.TRUNCATED)
        records[shard.index] = commit_part(
            run.output, run.spec.run_id, plan.digest, shard, labels, "caption", "a"
        )
    return records


def test_the_result_adds_up(store: str) -> None:
    """Items = labelled + failed, and every part is named with the digest of its bytes."""
    run, plan = planned(store)
    known = commit_all(run, plan)
    result = finish(run, plan, known)
    assert (result.items, result.labelled, result.failed) == (5, 2, 3)
    assert result.failed_by_code == {"truncated": 3}
    for part in result.parts:
        assert hashlib.sha256(fetch(f"{run.output}/{part.name}")).hexdigest() == part.sha256
    assert read_result(run) == result


def test_parts_of_earlier_drivers_are_read(store: str) -> None:
    """A driver that committed a part itself, or none, comes to the same result."""
    run, plan = planned(store)
    commit_all(run, plan, skip={2})
    known = commit_all(run, plan, skip={0, 1})
    result = finish(run, plan, known)
    assert finish(run, plan, {}) == result
    assert len(result.parts) == 3


def test_a_run_with_an_owed_shard_has_no_result(folder: str) -> None:
    """A missing part is said with the number of shards owed."""
    run, plan = planned(folder)
    commit_all(run, plan, skip={1})
    with pytest.raises(RunFolderError, match="1 of 3 shards are owed"):
        finish(run, plan, {})
    assert not open_run(run.spec.job).finished


def test_a_part_beyond_the_plan_is_foreign(folder: str) -> None:
    """A part that no shard of the plan has stops the run."""
    run, plan = planned(folder)
    commit_all(run, plan)
    put(run.output, run.names.part(7), fetch(f"{run.output}/{run.names.part(0)}"))
    with pytest.raises(ForeignPartError, match="part 7"):
        finish(run, plan, {})
