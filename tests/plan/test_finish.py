"""The last word of a run."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.estimate import estimate_name
from schemas.outcome import ErrorCode, ForeignPartError, RunFolderError
from schemas.rows import row_schema
from schemas.run import PartRecord, Plan
from tests.fake_store import FakeStore, fake_store
from tests.runs import SCHEMAS, job_spec, png, put, row, rows
from tests.schemas.test_estimate import ESTIMATE, OUTCOME
from workers.plan import Run, finish, freeze, load_shards, open_run, read_result
from workers.sink import commit_part
from workers.store import Entry, Patience, fetch, remove
from workers.store.disk import SCRATCH


def planned(store: str) -> tuple[Run, Plan]:
    """A run of 5 images in 3 shards."""
    for number in range(5):
        put(store, f"in/{number}.png", png())
    run = open_run(job_spec(f"{store}/in", f"{store}/out"))
    return run, freeze(run, 2, lambda: ("cpu", 8))


def commit_all(run: Run, plan: Plan, skip: Any = ()) -> dict[int, PartRecord]:
    """Label everything; the first item of each shard fails."""
    records = {}
    for shard in load_shards(run, plan, skip):
        labels = rows(shard, run.spec.run_id)
        labels[0] = row(shard.images[0], run.spec.run_id, ErrorCode.TRUNCATED)
        records[shard.index] = commit_part(
            run.output, run.spec.run_id, plan.digest, shard, labels, row_schema(SCHEMAS), "a"
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


def test_many_parts_are_read_side_by_side_and_told_in_order(store: str) -> None:
    """However many drivers there were, the result names the parts in the order of their shards."""
    for number in range(40):
        put(store, f"in/{number:02d}.png", png())
    run = open_run(job_spec(f"{store}/in", f"{store}/out"))
    plan = freeze(run, 1, lambda: ("cpu", 8))
    known = commit_all(run, plan)
    result = finish(run, plan, {shard: known[shard] for shard in (0, 7, 8, 39)})
    assert [part.name for part in result.parts] == [run.names.part(shard) for shard in range(40)]
    assert [part.sha256 for part in result.parts] == [known[shard].sha256 for shard in range(40)]


def test_the_result_tells_what_was_said_and_what_it_took(store: str) -> None:
    """The estimate of just this job goes beside the outcome; one that cannot be read is none. Of
    two drivers the first one's word stays.
    """
    run, plan = planned(store)
    known = commit_all(run, plan)
    place = estimate_name(run.spec.job.fingerprint())
    put(run.output, estimate_name("f" * 16), b"another job's")
    put(run.output, place, b"{half a file")
    assert (finish(run, plan, known).outcome, read_result(run).estimate) == (None, None)
    remove(f"{run.output}/{run.names.result}")
    put(run.output, place, ESTIMATE.to_json())
    assert finish(run, plan, known, outcome=OUTCOME).outcome == OUTCOME
    later = finish(run, plan, known, outcome=replace(OUTCOME, images=7))
    assert (later.outcome, later.estimate) == (OUTCOME, ESTIMATE)


def test_an_estimate_is_of_one_night(folder: str) -> None:
    """Nights share a fingerprint: only the first one since it was made carries it, whichever other
    jobs claimed ordinals between. One that does not say since when is none.
    """
    put(folder, "in/one.png", png())
    nightly = job_spec(f"{folder}/in", f"{folder}/out", incremental=True)
    other = replace(nightly, incremental=False)
    carried = []
    for job in (nightly, other, nightly, nightly):
        run = open_run(job)
        place = estimate_name(job.fingerprint())
        said = replace(ESTIMATE, fingerprint=job.fingerprint(), ordinal=2)
        if job == other:
            said = replace(said, ordinal=0)
        put(run.output, place, said.to_json())
        plan = freeze(run, 2, lambda: ("cpu", 8))
        carried.append(finish(run, plan, commit_all(run, plan)).estimate is not None)
    assert carried == [False, False, True, False]


def test_a_finished_run_is_tidy(folder: str) -> None:
    """Scratch files of writers that were killed are gone with the last word."""
    run, plan = planned(folder)
    known = commit_all(run, plan)
    put(run.output, f"{run.names.folder}/{SCRATCH}/half a part", b"x")
    finish(run, plan, known)
    assert not Path(run.output, run.names.folder, SCRATCH).exists()


def test_a_run_with_an_owed_shard_has_no_result(folder: str) -> None:
    """A missing part is named."""
    run, plan = planned(folder)
    commit_all(run, plan, skip={1})
    with pytest.raises(RunFolderError, match=r"part-00001\.parquet was there and is gone"):
        finish(run, plan, {})
    assert not open_run(run.spec.job).finished


def test_a_part_that_was_taken_away_meanwhile_is_owed(store: str) -> None:
    """Whoever committed it: it is named, there is no result, and the next driver labels it."""
    run, plan = planned(store)
    known = commit_all(run, plan)
    remove(f"{run.output}/{run.names.part(1)}")
    with pytest.raises(RunFolderError, match=r"part-00001\.parquet .* is gone; the same"):
        finish(run, plan, known)
    assert not open_run(run.spec.job).finished
    commit_all(run, plan, skip={0, 2})
    assert finish(run, plan, {}).items == 5


def test_a_listing_may_lack_the_newest_parts() -> None:
    """Whether a part is there its name tells: a listing that comes late does not stop the run."""

    class LateListing(FakeStore):
        def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
            late = ("part-00001.parquet", "part-00002.parquet")
            for page in super().pages(place, patience):
                yield [entry for entry in page if not entry.uri.endswith(late)]

    with fake_store(LateListing()) as store:
        for number in range(5):
            store.objects[f"sim://bucket/in/{number}.png"] = (png(), f"etag:{number}")
        run = open_run(job_spec("sim://bucket/in", "sim://bucket/out"))
        plan = freeze(run, 2, lambda: ("cpu", 8))
        known = commit_all(run, plan)
        del known[2]
        assert len(finish(run, plan, known).parts) == 3


def test_a_part_beyond_the_plan_is_foreign(folder: str) -> None:
    """A part that no shard of the plan has stops the run."""
    run, plan = planned(folder)
    commit_all(run, plan)
    put(run.output, run.names.part(7), fetch(f"{run.output}/{run.names.part(0)}"))
    with pytest.raises(ForeignPartError, match="part 7"):
        finish(run, plan, {})
