"""How far a run is."""

from pathlib import Path

import pytest

from schemas.run import Heartbeat
from tests.inspected import IMAGES, change_bytes, delete, finished, label, planned
from tests.runs import put
from workers.inspection import RunStatus, State, find_runs, footers, status_of
from workers.plan import Run, finish

NOW = 1_000_000.0


def status(run: Run) -> RunStatus:
    return status_of(run.output, find_runs(run.output)[-1], clock=lambda: NOW)


def beat(
    run: Run, seconds_ago: float, seen: int = 5, speed: float = 0.5, ended: bool = False
) -> None:
    """A driver was heard of so long ago."""
    heartbeat = Heartbeat(run.spec.run_id, NOW - seconds_ago, "host", 7, 2, seen, speed, ended)
    put(run.output, run.names.heartbeat, heartbeat.to_json())


def test_rows_are_counted_from_the_footers(store: str) -> None:
    """Labelled, failed by code, owed: they add up to the plan, while parts come in."""
    run, plan = planned(store)
    assert status(run).state == State.NOT_STARTED
    label(run, plan, skip={0, 3})
    half = status(run)
    assert half.state == State.STOPPED
    assert (half.images, half.labelled, half.failed, half.owed) == (IMAGES, 2, 2, 3)
    assert half.failed_by_code == {"truncated": 2}
    assert (half.shards, half.parts, half.skipped) == (4, 2, {"extension": 1})
    label(run, plan, skip={1, 2})
    assert status(run).owed == 0
    finish(run, plan, {})
    whole = status(run)
    assert whole.state == State.FINISHED
    assert (whole.images, whole.labelled, whole.failed, whole.owed) == (IMAGES, 5, 2, 0)
    assert (whole.failed_by_code, whole.skipped) == (half.failed_by_code, half.skipped)


def test_a_heartbeat_tells_whether_anybody_works(folder: str) -> None:
    """A young one: work, and how long yet; one older than a minute: nobody, whatever it says."""
    run, _ = planned(folder)
    beat(run, seconds_ago=60)
    assert status(run).state == State.WORKING
    assert status(run).seconds_left == (IMAGES - 5) / 0.5
    beat(run, seconds_ago=60.1)
    assert status(run).state == State.STOPPED
    assert status(run).seconds_left is None
    assert status(run).heartbeat_seconds == pytest.approx(60.1)
    beat(run, seconds_ago=1, ended=True)
    assert status(run).state == State.STOPPED
    beat(run, seconds_ago=-30)  # by a clock that is ahead of ours
    assert status(run).state == State.WORKING
    assert status(run).heartbeat_seconds == 0
    beat(run, seconds_ago=1, speed=0.0)
    assert status(run).seconds_left is None


def test_a_run_without_a_plan_is_told(folder: str) -> None:
    """Claimed and left, being planned, left while it was."""
    run, _ = planned(folder)
    delete(run, run.names.plan)
    assert (status(run).state, status(run).images) == (State.NOT_STARTED, None)
    beat(run, seconds_ago=1)
    assert status(run).state == State.PLANNING
    beat(run, seconds_ago=100)
    assert status(run).state == State.STOPPED


def test_a_finished_run_is_told_from_its_result(folder: str) -> None:
    """No part is read, and no heartbeat means anything."""
    run, _ = finished(folder)
    beat(run, seconds_ago=1)
    for part in Path(run.output, run.names.labels).iterdir():
        part.write_bytes(b"")
    assert status(run).state == State.FINISHED
    assert status(run).labelled == 5


def test_what_is_no_part_of_the_run_is_told_and_not_counted(folder: str) -> None:
    """Garbage in a part's place, another run's part, a part beyond the plan."""
    first, plan = planned(folder)
    label(first, plan)
    run, plan = planned(folder, new_run=True)
    label(run, plan)
    change_bytes(run, run.names.part(0), lambda data: b"garbage")
    strange = Path(first.output, first.names.part(1)).read_bytes()
    put(run.output, run.names.part(1), strange)
    put(run.output, run.names.part(7), strange)
    told = status(run)
    assert told.strange == (run.names.part(0), run.names.part(1))
    assert (told.parts, told.labelled, told.failed) == (2, 3, 0)


def test_a_footer_longer_than_the_tail_is_read(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever columns INPUT brings along, at the cost of a second look."""
    monkeypatch.setattr(footers, "TAIL_BYTES", 100)
    run, plan = planned(store)
    label(run, plan)
    assert (status(run).labelled, status(run).strange) == (5, ())


def test_only_the_ends_of_parts_are_read(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the parts are, so much is fetched of each."""
    run, plan = planned(folder)
    label(run, plan)
    lengths = []
    real = footers.fetch_tail

    def fetch_tail(uri: str, length: int, seconds: float) -> bytes:
        lengths.append(length)
        return real(uri, length, seconds)

    monkeypatch.setattr(footers, "fetch_tail", fetch_tail)
    status(run)
    assert lengths == [footers.TAIL_BYTES] * plan.shards
