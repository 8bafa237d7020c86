"""How long a reader waits for a store, and for one that is dead."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.image import ImageRef, InputFormat
from schemas.outcome import ItemError, ReadFailedError
from tests.clock import Clock
from tests.runs import job_spec, png, put
from tests.source.listings import listed, parquet_of
from workers.source import Reader, fetching
from workers.source.reading import OUTAGE_READS, OUTAGE_SECONDS
from workers.store import Patience

IMAGE = ImageRef("sim://a.png", "sim://a.png", "", 3)


class Store:
    """Answers with `answer`; waiting moves the clock alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.answer: Callable[[], bytes] = lambda: b"png"
        monkeypatch.setattr(fetching, "fetch", lambda *_: self.answer())

    def dies(self) -> None:
        def stall() -> bytes:
            raise TimeoutError("no answer")

        self.answer = stall

    def refuses(self) -> None:
        def refuse() -> bytes:
            raise PermissionError(13, "Access Denied")

        self.answer = refuse

    def reader(self, **changes: Any) -> Reader:
        return Reader(job_spec(**changes), Patience(120, self.clock, self.clock.sleep))

    def seconds(self, reader: Reader, image: ImageRef = IMAGE) -> float:
        """What one read takes, whatever comes of it."""
        before = self.clock.now
        with suppress(ItemError):
            reader.read(image)
        return self.clock.now - before


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(monkeypatch)


def test_a_dead_store_is_noticed_in_minutes(store: Store) -> None:
    """After some reads that waited in vain the others wait for seconds, until one succeeds."""
    reader = store.reader()
    store.dies()
    patient = [store.seconds(reader) for _ in range(OUTAGE_READS)]
    assert min(patient) > 90
    assert max(store.seconds(reader) for _ in range(200)) <= OUTAGE_SECONDS
    store.answer = lambda: b"png"
    assert reader.read(IMAGE) == b"png"
    store.dies()
    assert store.seconds(reader) > 90


def test_a_store_that_refuses_is_not_dead(store: Store) -> None:
    """Other failures are answers: they do not make a reader impatient, and end its impatience."""
    reader = store.reader()
    store.refuses()
    for _ in range(2 * OUTAGE_READS):
        store.seconds(reader)
    store.dies()
    for _ in range(OUTAGE_READS - 1):
        store.seconds(reader)
    store.refuses()
    store.seconds(reader)
    store.dies()
    assert store.seconds(reader) > 90


def test_rows_of_a_dead_store_are_given_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of Parquet files wait no longer than objects do, and are read again afterwards."""
    put(str(tmp_path), "a.parquet", parquet_of({"image": [png()] * 3}))
    (image, *_), _ = listed(str(tmp_path / "a.parquet"), InputFormat.PARQUET)
    real = fetching.fetch
    store = Store(monkeypatch)
    reader = store.reader()
    store.dies()
    for _ in range(OUTAGE_READS):
        with pytest.raises(ReadFailedError):
            reader.read(image)
    assert store.seconds(reader, image) <= OUTAGE_SECONDS
    monkeypatch.setattr(fetching, "fetch", real)
    assert reader.read(image) == png()
    assert reader.read(replace(image, row=2)) == png()


class Turnstile:
    """A lock that knows how many have come to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.came = threading.Semaphore(0)

    def __enter__(self) -> None:
        self.came.release()
        self._lock.acquire()

    def __exit__(self, *unused: object) -> None:
        self._lock.release()


def test_those_who_wait_for_a_dead_file_fail_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that read one Parquet file wait together for its store, not one after the other."""
    put(str(tmp_path), "a.parquet", parquet_of({"image": [png()] * 8}))
    images, _ = listed(str(tmp_path / "a.parquet"), InputFormat.PARQUET)
    store = Store(monkeypatch)
    reader = store.reader()
    turnstile = Turnstile()
    monkeypatch.setattr(
        reader._rows._file(images[0].uri, images[0].input_digest), "_lock", turnstile
    )
    waiting = iter(range(8))

    def stall() -> bytes:
        for _ in waiting:  # before the first answer all of them have come
            assert turnstile.came.acquire(timeout=20)
        raise TimeoutError("no answer")

    store.answer = stall
    before = store.clock.now
    with ThreadPoolExecutor(8) as threads:
        failures = [threads.submit(reader.read, image).exception for image in images]
        assert all(isinstance(failure(), ReadFailedError) for failure in failures)
    assert store.clock.now - before <= 120
