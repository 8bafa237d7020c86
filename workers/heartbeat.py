"""A sign of life: one small file of the run, written over every few seconds. Decides nothing."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from schemas.outcome import BucketsightError, BusyError
from schemas.run import Heartbeat, RunNames
from schemas.uri import join
from workers.store import PATIENCE, Patience, ask, client_errors, fetch, replace

SECONDS_BETWEEN_BEATS = 5.0
SECONDS_PER_BEAT = 5.0
"""What a store may take for one, and what the end of a run waits for the last one."""
SECONDS_OF_SILENCE = 2 * SECONDS_BETWEEN_BEATS + SECONDS_PER_BEAT
"""A driver that lives has written a beat by then, whatever the store takes for it."""


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


def require_silence(
    output: str,
    run_id: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    patience: Patience = PATIENCE,
) -> None:
    """Raises BusyError where a driver works on the run: a beat of it comes while one listens.

    Beats are held against each other and against no clock: machines may disagree by hours.
    """
    place = join(output, RunNames(int(run_id)).heartbeat)

    def beat() -> bytes | None:
        try:
            return ask(place, lambda seconds: fetch(place, seconds=seconds), patience)
        except FileNotFoundError:
            return None

    first, until = beat(), clock() + SECONDS_OF_SILENCE
    while clock() < until:
        sleep(1)
        latest = beat()
        if latest is not None and latest != first:
            heard = Heartbeat.from_json(latest, place)
            if heard.ended:
                return
            raise BusyError(
                f"run {run_id} is being worked on by process {heard.process} of {heard.host}: "
                "what it leaves is owed to the next night"
            )
