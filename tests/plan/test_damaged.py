"""What is wrong in a run folder is said in a sentence, and no committed part is touched."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.outcome import (
    BucketsightError,
    DamagedPlanError,
    ExitCode,
    ForeignPartError,
    RunFolderError,
    UsageError,
)
from schemas.rows import row_schema
from schemas.run import Plan
from tests.runs import SCHEMAS, job_spec, png, put, rows
from workers.plan import Run, finish, freeze, load_shards, open_run, read_plan, read_result
from workers.sink import commit_part, committed
from workers.store import fetch, remove


@pytest.fixture
def begun(folder: str) -> Iterator[tuple[Run, Plan]]:
    """A run of 6 images in 3 shards, of which the first is committed; that part stays as it is."""
    for number in range(6):
        put(folder, f"in/{number}.png", png())
    run = open_run(job_spec(f"{folder}/in", f"{folder}/out"))
    plan = freeze(run, 2, lambda: ("cpu", 8))
    commit(run, plan, skip={1, 2})
    part = f"{run.output}/{run.names.part(0)}"
    before = fetch(part), Path(part).stat().st_mtime_ns
    yield run, plan
    assert (fetch(part), Path(part).stat().st_mtime_ns) == before


def commit(run: Run, plan: Plan, skip: set[int]) -> None:
    """Label the shards but those of `skip`."""
    run_id = run.spec.run_id
    for shard in load_shards(run, plan, skip):
        labels = rows(shard, run_id)
        commit_part(run.output, run_id, plan.digest, shard, labels, row_schema(SCHEMAS), "a")


def goes_on(run: Run) -> None:
    """All that a driver that comes later does."""
    later = open_run(run.spec.job)
    assert later == run
    plan = freeze(later, 2, lambda: ("cpu", 8))
    commit(later, plan, skip=committed(later.output, plan.run_id))
    finish(later, plan, {})


def alter(run: Run, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write a document of the run over."""
    value = json.loads(fetch(f"{run.output}/{name}"))
    put(run.output, name, json.dumps(value | change(value)).encode())


def test_a_claim_without_a_plan_is_planned(folder: str) -> None:
    """A driver that died while it planned leaves a claim, and pages that nobody names: the next one
    plans anew, and the leftovers are in nobody's way.
    """
    for number in range(6):
        put(folder, f"in/{number}.png", png())
    run = open_run(job_spec(f"{folder}/in", f"{folder}/out"))
    plan = freeze(run, 2, lambda: ("cpu", 8))
    remove(f"{run.output}/{run.names.plan}")
    assert read_plan(run) is None
    put(folder, "in/6.png", png())
    again = freeze(run, 2, lambda: ("cpu", 8))
    assert again.attempt != plan.attempt
    assert (again.items, plan.items) == (7, 6)
    goes_on(run)
    assert read_result(run).labelled == 7


DAMAGES: list[tuple[Callable[[Run, Plan], None], type[BucketsightError], ExitCode, str]] = [
    (
        lambda run, plan: remove(f"{run.output}/{plan.pages[0].name}"),
        DamagedPlanError,
        ExitCode.FAILED,
        r"page-00000\.parquet, a page of the plan, is missing",
    ),
    (
        lambda run, plan: put(run.output, plan.pages[0].name, b"PAR1 something else PAR1"),
        DamagedPlanError,
        ExitCode.FAILED,
        r"page-00000\.parquet, a page of the plan, was altered",
    ),
    (
        lambda run, plan: put(run.output, plan.pages[0].name, b""),
        DamagedPlanError,
        ExitCode.FAILED,
        r"page-00000\.parquet, a page of the plan, was altered",
    ),
    (
        lambda run, _: alter(run, run.names.plan, lambda value: {"batch_size": 9}),
        ForeignPartError,
        ExitCode.FAILED,
        r"part-00000\.parquet belongs to shard 0 of run 00000001 under another plan",
    ),
    (
        lambda run, _: put(run.output, run.names.plan, b""),
        UsageError,
        ExitCode.USAGE,
        r"plan\.json is not JSON",
    ),
    (
        lambda run, _: alter(run, run.names.plan, lambda value: {"format_version": 99}),
        UsageError,
        ExitCode.USAGE,
        r"plan\.json is of format version 99 and this program knows 2 and 3: go on with",
    ),
    (
        lambda run, _: alter(run, run.names.plan, lambda value: {"format_version": 1}),
        UsageError,
        ExitCode.USAGE,
        r"plan\.json is of format version 1 and this program knows 2 and 3: go on with",
    ),
    (
        lambda run, _: alter(run, run.names.plan, lambda value: {"pages": [{}]}),
        UsageError,
        ExitCode.USAGE,
        r"plan\.json is not what this program writes",
    ),
    (
        lambda run, _: alter(run, run.names.plan, lambda value: {"items": value["items"] - 1}),
        DamagedPlanError,
        ExitCode.FAILED,
        r"plan\.json was altered: its counts do not add up; put it back",
    ),
    (
        lambda run, _: remove(f"{run.output}/{run.names.plan}"),
        DamagedPlanError,
        ExitCode.FAILED,
        r"plan\.json is missing, and parts were made by it: put it back",
    ),
    (
        lambda run, _: alter(
            run, run.names.spec, lambda value: {"job": value["job"] | {"quantization": "int8"}}
        ),
        RunFolderError,
        ExitCode.FAILED,
        r"spec\.json was altered: its job is not the one",
    ),
    (
        lambda run, _: alter(run, run.names.spec, lambda value: {"format_version": 99}),
        UsageError,
        ExitCode.USAGE,
        r"spec\.json is of format version 99",
    ),
]


@pytest.mark.parametrize(
    ("damage", "kind", "code", "sentence"),
    DAMAGES,
    ids=[
        *("page-missing", "page-altered", "page-empty", "plan-altered", "plan-empty"),
        *("plan-newer", "plan-older", "plan-of-nothing", "plan-of-fewer"),
        *("plan-missing", "spec-altered", "spec-newer"),
    ],
)
def test_a_damaged_run_stops_with_a_sentence(
    begun: tuple[Run, Plan],
    damage: Callable[[Run, Plan], None],
    kind: type[BucketsightError],
    code: ExitCode,
    sentence: str,
) -> None:
    """Whatever of the run's documents is missing, altered or of another program: the error names
    it, its exit code is the promised one, there is no result, and the part that is there stays.
    """
    run, plan = begun
    damage(run, plan)
    with pytest.raises(kind, match=sentence) as caught:
        goes_on(run)
    assert caught.value.exit_code is code
    assert not Path(run.output, run.names.result).exists()


def test_a_result_of_another_program_is_refused(begun: tuple[Run, Plan]) -> None:
    """A finished run whose result is of a newer format is said so."""
    run, _ = begun
    goes_on(run)
    alter(run, run.names.result, lambda value: {"format_version": 99})
    with pytest.raises(UsageError, match=r"result\.json is of format version 99") as caught:
        read_result(open_run(run.spec.job))
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_bucket_that_empties_under_the_plan_is_still_owed(begun: tuple[Run, Plan]) -> None:
    """Who goes on lists no INPUT: every planned item is given out, and ends as a row."""
    run, plan = begun
    for number in range(6):
        remove(f"{run.spec.job.input}/{number}.png")
    assert freeze(open_run(run.spec.job), None, lambda: ("cpu", 8)) == plan
    owed = [image for shard in load_shards(run, plan, skip={0}) for image in shard.images]
    assert [image.uri[-5] for image in owed] == ["2", "3", "4", "5"]
    goes_on(run)
    assert read_result(run).items == 6


def test_a_bucket_that_is_empty_before_the_plan_is_bad_usage(folder: str) -> None:
    """INPUT that emptied between claim and plan: a sentence, exit 2, and no plan."""
    put(folder, "in/0.png", png())
    run = open_run(job_spec(f"{folder}/in", f"{folder}/out"))
    remove(f"{folder}/in/0.png")
    with pytest.raises(UsageError, match="holds no files") as caught:
        freeze(run, None, lambda: ("cpu", 8))
    assert caught.value.exit_code is ExitCode.USAGE
    assert read_plan(run) is None
