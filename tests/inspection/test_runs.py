"""Which runs an OUTPUT holds."""

import pytest

from schemas.outcome import UsageError
from schemas.run import RunNames
from tests.inspected import delete, finished, planned
from tests.runs import job_spec, png, put
from workers.inspection import RunFiles, find_run, find_runs, read_run, successor
from workers.plan import open_run


def test_runs_are_found_in_their_order(store: str) -> None:
    """Each with what is there of it; a folder without a claim is no run."""
    run, _ = finished(store)
    planned(store, new_run=True)
    third, _ = planned(store, new_run=True)
    delete(third, third.names.plan)
    put(third.output, RunNames(4).plan, b"{}")
    put(third.output, RunNames(3).heartbeat, b"{}")
    put(third.output, "runs/00000005/more/spec.json", b"{}")
    runs = find_runs(run.output)
    assert runs == [
        RunFiles(1, planned=True, finished=True, has_heartbeat=False),
        RunFiles(2, planned=True, finished=False, has_heartbeat=False),
        RunFiles(3, planned=False, finished=False, has_heartbeat=True),
    ]
    assert find_run(run.output, runs, 2) == runs[1]
    with pytest.raises(UsageError, match="holds no run 4; its newest is 3"):
        find_run(run.output, runs, 4)


@pytest.mark.parametrize("place", ["", "/not/there"])
def test_a_place_without_runs_is_bad_usage(place: str, store: str) -> None:
    """An empty folder or bucket, and one that is not there."""
    with pytest.raises(UsageError, match="holds no run"):
        find_runs(f"{store}{place}")


def test_a_missing_bucket_is_bad_usage(bucket: str) -> None:
    """As an empty one."""
    with pytest.raises(UsageError, match="holds no run"):
        find_runs("s3://no-such-bucket/out")


def test_only_a_later_run_of_the_same_job_takes_its_place(folder: str) -> None:
    """Another prompt is another job."""
    run, _ = planned(folder)
    planned(folder, prompt="what else is <ImageHere>")
    runs = find_runs(run.output)
    assert successor(run.output, runs, runs[0]) is None
    planned(folder, new_run=True)
    runs = find_runs(run.output)
    assert successor(run.output, runs, runs[0]) == runs[2]
    assert successor(run.output, runs, runs[2]) is None


def test_a_later_night_takes_the_place_of_an_earlier_one(folder: str) -> None:
    """Whatever it asks: all that the earlier one owed is owed to it. Of another INPUT it does not,
    nor does a run that is no night.
    """
    run, _ = planned(folder, incremental=True)
    planned(folder, prompt="what else is <ImageHere>")
    put(folder, "in/more/1.png", png())
    open_run(job_spec(f"{folder}/in/more", run.output, incremental=True))
    runs = find_runs(run.output)
    assert successor(run.output, runs, runs[0]) is None
    planned(folder, prompt="what else is <ImageHere>", incremental=True)
    runs = find_runs(run.output)
    assert successor(run.output, runs, runs[0]) == runs[3]


def test_a_run_is_read_where_it_lies(folder: str) -> None:
    """OUTPUT is the one that was asked for, whatever the run once called it."""
    run, _ = planned(folder, model_id="another")
    files = find_runs(run.output)[0]
    read = read_run(f"{folder}/./out", files)
    assert (read.output, read.spec.job.model_id) == (f"{folder}/./out", "another")
    assert not read.finished
