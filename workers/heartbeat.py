"""A sign of life: one small file of the run, written over every few seconds. Decides nothing."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from schemas.outcome import BucketsightError
from schemas.run import Heartbeat, RunNames
from schemas.uri import join
from workers.store import client_errors, replace

SECONDS_BETWEEN_BEATS = 5.0
SECONDS_PER_BEAT = 5.0
"""What a store may take for one, and what the end of a run waits for the last one."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """How far a driver is; as in Heartbeat."""

    replicas: int = 0
    images_seen: int = 0
    images_per_second: float = 0.0


@dataclass(slots=True)
class Heart:
    """Beats from when a run is opened on, and tells more once its driver knows more."""

    vitals: Callable[[], Vitals] = Vitals
    """Is called from the heart's thread."""


@contextmanager
def beating(
    output: str,
    run_id: str,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.time,
) -> Iterator[Heart]:
    """While inside, a thread writes the run's heartbeat: at the start, every so often, at the end.

    A store that refuses is told of once, and one that stalls not even that: neither raises, nor
    holds the run up for longer than SECONDS_PER_BEAT at its end.

    Args:
        clock: seconds since 1970.
    """
    place = join(output, RunNames(int(run_id)).heartbeat)
    host, process = socket.gethostname(), os.getpid()
    heart, ended = Heart(), threading.Event()
    told = False

    def refused(error: BaseException) -> None:
        nonlocal told
        if not told:
            say(f"{place} cannot be written, so that status cannot tell that we work: {error}")
        told = True

    def beat(last: bool = False) -> None:
        now = heart.vitals()
        heartbeat = Heartbeat(
            run_id,
            clock(),
            host,
            process,
            now.replicas,
            now.images_seen,
            now.images_per_second,
            ended=last,
        )
        try:
            replace(place, heartbeat.to_json(), SECONDS_PER_BEAT)
        except BucketsightError as error:
            refused(error)
        except client_errors() as error:
            refused(error)

    def keep_beating() -> None:
        beat()
        while not ended.wait(SECONDS_BETWEEN_BEATS):
            beat()
        beat(last=True)

    thread = threading.Thread(target=keep_beating, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield heart
    finally:
        ended.set()
        thread.join(SECONDS_PER_BEAT)
