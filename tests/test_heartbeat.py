"""The sign of life of a driver."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.outcome import BusyError
from schemas.run import Heartbeat, RunNames
from tests.runs import put
from workers import heartbeat
from workers.heartbeat import Vitals, beating, require_silence
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


def beat(images: int, at: float, ended: bool = False) -> bytes:
    """A beat of some driver."""
    return Heartbeat(RUN, at, "elsewhere", 7, 1, images, 1.0, ended).to_json()


def listened(store: str, beats: Iterator[bytes | None]) -> float:
    """How long one listens while `beats` are written, one a second."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if (data := next(beats, None)) is not None:
            put(store, PLACE, data)

    require_silence(store, RUN, clock=lambda: now, sleep=sleep)
    return now


@pytest.mark.parametrize("at", [0.0, 4e9], ids=["clock behind", "clock ahead"])
def test_a_driver_that_beats_is_left_alone(folder: str, at: float) -> None:
    """Whatever its clock says, a beat that comes while one listens is a driver at work."""
    put(folder, PLACE, beat(1, at))
    with pytest.raises(BusyError, match="process 7 of elsewhere"):
        listened(folder, iter([None, None, beat(2, at)]))


def test_silence_is_nobody(folder: str) -> None:
    """A driver that was killed, one that never beat, and one that said that it ended are gone; the
    first two are waited for as long as a beat may take.
    """
    assert listened(folder, iter([])) >= heartbeat.SECONDS_OF_SILENCE
    put(folder, PLACE, beat(1, 4e9))
    assert listened(folder, iter([])) >= heartbeat.SECONDS_OF_SILENCE
    assert listened(folder, iter([None, beat(2, 4e9, ended=True)])) == 2
