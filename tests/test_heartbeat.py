"""The sign of life of a driver."""

import threading
from pathlib import Path

import pytest

from schemas.run import Heartbeat, RunNames
from tests.runs import put
from workers import heartbeat
from workers.heartbeat import Vitals, beating
from workers.store import fetch

RUN = "00000001"
PLACE = RunNames(1).heartbeat


def read(store: str) -> Heartbeat:
    return Heartbeat.from_json(fetch(f"{store}/{PLACE}"), PLACE)


def test_it_is_written_at_the_start_again_and_at_the_end(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each beat writes the file over, with what the run is at and the clock's time."""
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN_BEATS", 0.001)
    put(store, PLACE, b"what an earlier driver left")
    third = threading.Event()
    times = iter(range(100, 10**9))
    seen = 0

    def vitals() -> Vitals:
        nonlocal seen
        seen += 1
        if seen == 3:
            third.set()
        return Vitals(2, seen, 1.5)

    said: list[str] = []
    with beating(store, RUN, said.append, lambda: float(next(times))) as heart:
        heart.vitals = vitals
        assert third.wait(60)
    last = read(store)
    assert (last.run_id, last.replicas, last.images_per_second) == (RUN, 2, 1.5)
    assert last.images_seen == seen >= 4
    assert last.at in (99 + seen, 100 + seen)  # the first beat may have come before the vitals
    assert not said


def test_the_end_is_told_whenever_it_comes(folder: str) -> None:
    """A run that is over before the second beat, by an error too, leaves its last numbers."""
    with pytest.raises(KeyboardInterrupt), beating(folder, RUN, print) as heart:
        heart.vitals = lambda: Vitals(0, 2, 0.0)
        raise KeyboardInterrupt
    assert read(folder).images_seen == 2


def test_a_store_that_refuses_is_told_of_once(tmp_path: Path) -> None:
    """The run goes on, and says one sentence however often it is refused."""
    (tmp_path / "runs").write_text("a file where a folder must be")
    said: list[str] = []
    with beating(str(tmp_path), RUN, said.append):
        pass
    assert len(said) == 1
    assert f"{tmp_path}/{PLACE} cannot be written" in said[0]


def test_a_store_that_stalls_holds_nothing_up(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that does not come back neither delays the run nor keeps it from ending."""
    monkeypatch.setattr(heartbeat, "SECONDS_PER_BEAT", 0.01)
    stalled, over = threading.Event(), threading.Event()

    def replace(uri: str, data: bytes, seconds: float) -> None:
        stalled.set()
        over.wait(60)

    monkeypatch.setattr(heartbeat, "replace", replace)
    said: list[str] = []
    with beating(folder, RUN, said.append):
        assert stalled.wait(60)
    assert not said
    over.set()
    for thread in threading.enumerate():
        if thread.name == "heartbeat":
            thread.join(60)
