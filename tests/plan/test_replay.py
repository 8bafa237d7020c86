"""A replay plans only what failed."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from schemas.job import JobSpec
from schemas.outcome import ErrorCode, ForeignPartError, RunFolderError, UsageError
from schemas.rows import row_schema
from schemas.run import Plan, RunNames
from tests.runs import SCHEMAS, job_spec, png, put, row
from workers.plan import Run, finish, freeze, load_shards, open_run
from workers.plan import replay as module
from workers.sink import commit_part
from workers.store import fetch, remove

FAILED = {1: ErrorCode.READ_FAILED, 2: ErrorCode.TRUNCATED, 5: ErrorCode.READ_FAILED}
"""By the number in the picture's name."""


def labelled(
    store: str,
    failed: Mapping[int, ErrorCode] = FAILED,
    shards: int = 4,
    finished: bool = True,
    images: int = 7,
) -> Run:
    """A run over `images` pictures, two a shard, of which the first `shards` are committed."""
    for number in range(images):
        put(store, f"in/{number}.png", png())
    run = open_run(job_spec(f"{store}/in", f"{store}/out"))
    plan = freeze(run, 2, lambda: ("cpu", 8))
    commit(run, plan, failed, shards)
    if finished:
        finish(run, plan, {})
    return run


def commit(run: Run, plan: Plan, failed: Mapping[int, ErrorCode], shards: int) -> None:
    run_id = run.spec.run_id
    for shard in load_shards(run, plan, skip=range(shards, plan.shards)):
        rows = [row(image, run_id, failed.get(int(image.uri[-5]))) for image in shard.images]
        commit_part(run.output, run_id, plan.digest, shard, rows, row_schema(SCHEMAS), "a")


def again(store: str, *codes: ErrorCode, of: str = "00000001") -> JobSpec:
    """The job that replays run `of`."""
    return job_spec(f"{store}/in", f"{store}/out", replay_of=of, replay_codes=codes)


def planned(job: JobSpec) -> tuple[list[int], Plan]:
    """The numbers of the pictures that a replay looks at, and its plan."""
    run = open_run(job)
    plan = freeze(run, None, lambda: ("cpu", 8))
    shards = load_shards(run, plan)
    return [int(image.uri[-5]) for shard in shards for image in shard.images], plan


def test_a_replay_looks_at_what_failed(store: str) -> None:
    """All failures, or those of some codes; what did not fail is counted by a rule of its own."""
    labelled(store, FAILED | {4: ErrorCode.TRUNCATED})
    numbers, plan = planned(again(store))
    assert (numbers, plan.items, plan.skipped) == ([1, 2, 4, 5], 4, {"not_replayed": 3})
    assert planned(again(store, ErrorCode.READ_FAILED))[0] == [1, 5]
    assert planned(again(store, ErrorCode.TRUNCATED, ErrorCode.TIMED_OUT))[0] == [2, 4]
    assert planned(again(store, ErrorCode.READ_FAILED, ErrorCode.TRUNCATED))[0] == numbers


def test_the_version_that_is_there_now_counts(folder: str) -> None:
    """What failed and was replaced since is planned as it is now; what is gone is counted, and
    what came since is none of the replay's.
    """
    run = labelled(folder)
    old = [
        image
        for shard in load_shards(run, freeze(run, None, lambda: ("cpu", 8)))
        for image in shard.images
    ]
    put(folder, "in/1.png", png("blue") + b"longer")
    put(folder, "in/9.png", png())
    remove(f"{folder}/in/5.png")
    replay = open_run(again(folder))
    plan = freeze(replay, None, lambda: ("cpu", 8))
    images = [image for shard in load_shards(replay, plan) for image in shard.images]
    assert [image.uri[-5] for image in images] == ["1", "2"]
    assert images[0].input_digest != old[1].input_digest
    assert images[1].input_digest == old[2].input_digest
    assert plan.skipped == {"not_replayed": 5, "gone_since_run": 1}


def test_a_replay_of_a_replay(folder: str) -> None:
    """What failed once more is replayed once more."""
    labelled(folder)
    second = open_run(again(folder))
    plan = freeze(second, 2, lambda: ("cpu", 8))
    commit(second, plan, {2: ErrorCode.TRUNCATED}, plan.shards)
    finish(second, plan, {})
    assert planned(again(folder, of="00000002"))[0] == [2]


def test_an_unfinished_run_is_replayed_as_far_as_it_is(store: str) -> None:
    """Of a run that stopped the parts that are there tell."""
    labelled(store, shards=2, finished=False)
    assert planned(again(store))[0] == [1, 2]


def test_only_parts_that_hold_failures_are_read(folder: str) -> None:
    """Of a finished run the result tells which parts need not be there."""
    run = labelled(folder)
    remove(f"{run.output}/{run.names.part(3)}")
    assert planned(again(folder))[0] == [1, 2, 5]
    remove(f"{run.output}/{run.names.part(2)}")
    with pytest.raises(RunFolderError, match=r"part-00002.*gone"):
        planned(again(folder, ErrorCode.READ_FAILED))


def test_failures_of_many_parts_come_in_blocks(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, each is said once."""
    run = labelled(folder)
    monkeypatch.setattr(module, "BLOCK_IDS", 2)
    blocks = [block.to_pylist() for block in module.failed_ids(run, ())]
    assert [len(block) for block in blocks] == [2, 1]
    assert [name[-5] for block in blocks for name in block] == ["1", "2", "5"]


def test_a_foreign_part_is_not_believed(folder: str) -> None:
    """A part that is none of the run's stops the replay."""
    run = labelled(folder)
    put(run.output, run.names.part(0), fetch(f"{run.output}/{run.names.part(1)}"))
    with pytest.raises(ForeignPartError, match="part-00000"):
        planned(again(folder))


def test_a_replay_of_nothing_leaves_no_trace(folder: str) -> None:
    """A run without failures, or without such ones, or no run at all, or one of another INPUT, is
    bad usage, and nothing is written.
    """
    labelled(folder)
    put(folder, "other/0.png", png())
    before = sorted(Path(folder).rglob("*"))
    other = job_spec(f"{folder}/other", f"{folder}/out", replay_of="00000001")
    for job, sentence in [
        (again(folder, ErrorCode.TIMED_OUT), "no image failed with timed_out in run 00000001"),
        (again(folder, of="00000007"), "holds no run 00000007"),
        (again(folder, of="newest"), "holds no run newest"),
        (other, f"run 00000001 looked at {folder}/in"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            open_run(job)
    assert sorted(Path(folder).rglob("*")) == before


def test_a_replay_without_failures_so_far_is_bad_usage(folder: str) -> None:
    """An unfinished run in which nothing failed yet, or of which there is no plan."""
    run = labelled(folder, failed={}, finished=False)
    with pytest.raises(UsageError, match="no image failed in run 00000001"):
        planned(again(folder))
    remove(f"{run.output}/{RunNames(1).plan}")
    with pytest.raises(UsageError, match="no image failed in run 00000001"):
        planned(again(folder))


def test_failures_that_are_all_gone_are_bad_usage(folder: str) -> None:
    """There is nothing to replay where INPUT lists none of them any more."""
    labelled(folder)
    for number in FAILED:
        remove(f"{folder}/in/{number}.png")
    with pytest.raises(UsageError, match=r"of the 3 images that failed .* none is in"):
        planned(again(folder))


def test_a_run_of_an_older_program_is_replayed(folder: str) -> None:
    """A finished run is replayed from its parts and its result, whatever its plan's format is."""
    run = labelled(folder)
    place = f"{run.output}/{run.names.plan}"
    value = json.loads(fetch(place)) | {"format_version": 1}
    put(run.output, run.names.plan, json.dumps(value).encode())
    assert planned(again(folder))[0] == [1, 2, 5]
