"""What is measured of a system, and by which rules.

images_per_second: in steady state, reading and decoding included. Of a process alone: all pictures,
after a first batch that warms it up and does not count. Of a job: the rows after the first two
batches a replica (a second is under way when the first is answered), or the first batch an actor,
over the time from the last `labelled_at` of those until the last file of rows is written; so
without Ray's start and the model's loading, with the writing.
images_per_second_in_all: all pictures, from the command to its end. Of jobs.
seconds_to_first: from the command to the first answer, or to the first file of rows.
seconds_to_load: the model alone, torch and transformers being imported already.
peak_bytes: VmHWM of the process, of a job's largest process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROCESSES = Path("/proc")
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Measurement:
    """One system, once. None: this system has no such figure, or this machine does not tell it."""

    images_per_second: float | None
    images_per_second_in_all: float | None
    seconds_to_first: float
    seconds_to_load: float | None
    peak_bytes: int | None
    new_tokens: float | None = None
    """Of a written answer, on average, the one that ends it included."""


def steady_rate(stamps: Sequence[float], warm_up: int, ended: float) -> float | None:
    """Rows a second after the first `warm_up`, until `ended`; None where there are no more.

    Args:
        stamps: when each row was labelled, in seconds.
        warm_up: rows that do not count, at least 1.
        ended: when the last of them was written, in seconds.
    """
    if len(stamps) <= warm_up:
        return None
    return (len(stamps) - warm_up) / (ended - sorted(stamps)[warm_up - 1])


def peak_bytes(process: int | str = "self") -> int | None:
    """The most memory that a process ever held; None where it is gone, or not told (Linux)."""
    return _told(PROCESSES / str(process) / "status", "VmHWM:")


def free_bytes() -> int | None:
    """The memory that processes may still take; None where it is not told (Linux)."""
    return _told(PROCESSES / "meminfo", "MemAvailable:")


def _told(file: Path, name: str) -> int | None:
    try:
        for line in file.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


@contextmanager
def watched(mark: str) -> Iterator[list[int]]:
    """The peaks of all processes in whose environment `mark` (NAME=value) stood when they began.

    They are looked at twice a second: a peak reached later before a process ends is not seen.
    """
    peaks: dict[int, int] = {}
    found: list[int] = []
    done = threading.Event()

    def look() -> None:
        for process in _marked(mark):
            peaks[process] = max(peaks.get(process, 0), peak_bytes(process) or 0)

    def watch() -> None:
        while not done.wait(LOOK_SECONDS):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()
        look()
        found += peaks.values()


def _marked(mark: str) -> Iterator[int]:
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            if os.fsencode(mark) in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
        except OSError:  # it ended meanwhile, or is not ours
            continue
